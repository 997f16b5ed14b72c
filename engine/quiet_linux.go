//go:build cgo

package engine

/*
#cgo CFLAGS: -D_GNU_SOURCE
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// ONNX Runtime's C interface is a table of functions. Its order never changes: new
// functions are added at the end. Numbers are positions in the table.
enum { CREATE_SESSION_OPTIONS = 10, SET_INTRA_OP_THREADS = 24, ADD_SESSION_CONFIG_ENTRY = 130 };
typedef struct { void **(*table)(uint32_t version); const char *(*version)(void); } api_base;
typedef void *(*create_options)(void **out);
typedef void *(*set_threads)(void *options, int n);
typedef void *(*add_entry)(void *options, const char *key, const char *value);

static create_options create;
static set_threads set;
static add_entry add;
static atomic_long made, single; // sessions, and those among them with one thread
static atomic_int threads; // 0: as many as the library thinks right

static void *create_quiet(void **out) {
	void *status = create(out);
	if (status != NULL) return status;
	atomic_fetch_add(&made, 1);
	int n = atomic_load(&threads);
	if (n > 0 && (status = set(*out, n)) != NULL) return status;
	if (n == 1) atomic_fetch_add(&single, 1);
	return add(*out, "session.intra_op.allow_spinning", "0");
}

static void trim(void) {
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

static long made_quiet(void) { return atomic_load(&made); }
static long made_single(void) { return atomic_load(&single); }
static void use_threads(int n) { atomic_store(&threads, n); }

// let_sleep returns NULL, or why it could not be done.
static const char *let_sleep(const char *path) {
	if (create != NULL) return NULL;
	void *lib = dlopen(path, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
	if (lib == NULL) return NULL; // not loaded
	api_base *(*base)(void) = (api_base *(*)(void))dlsym(lib, "OrtGetApiBase");
	void **table = base == NULL ? NULL : base()->table(17);
	if (table == NULL) return "the library has no table of version 17";
	Dl_info whole, one;
	int used[] = {CREATE_SESSION_OPTIONS, SET_INTRA_OP_THREADS, ADD_SESSION_CONFIG_ENTRY};
	for (int i = 0; i < 3; i++) { // all of them functions of the library itself
		if (!dladdr((void *)base, &whole) || !dladdr(table[used[i]], &one) || whole.dli_fbase != one.dli_fbase)
			return "the table is not as expected";
	}
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *from = (void *)((uintptr_t)&table[CREATE_SESSION_OPTIONS] & ~(page - 1));
	if (mprotect(from, page, PROT_READ | PROT_WRITE) != 0) return "the table cannot be written to";
	create = (create_options)table[CREATE_SESSION_OPTIONS];
	set = (set_threads)table[SET_INTRA_OP_THREADS];
	add = (add_entry)table[ADD_SESSION_CONFIG_ENTRY];
	table[CREATE_SESSION_OPTIONS] = (void *)create_quiet;
	mprotect(from, page, PROT_READ); // not vital
	return NULL;
}
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Yield lets the worker threads of ONNX Runtime sleep while they have nothing to do,
// those of every graph compiled from now on. By default they spin for work between
// operations: right for training, but on a few cores it takes one away from a server
// that answers beside (docs/BENCHMARKS.md, Serving). The backend has no setting for it,
// so one function of the library's table is replaced by ours, which calls it and adds
// the setting; nothing is changed unless the table is as expected. Call it after Open;
// it does nothing if another engine is open.
func Yield() error {
	lib, err := Library()
	if err != nil {
		return nil // then it is not open either
	}
	path := C.CString(lib.Path)
	defer C.free(unsafe.Pointer(path))
	if why := C.let_sleep(path); why != nil {
		return fmt.Errorf("let idle threads of %s sleep: %s", lib.Path, C.GoString(why))
	}
	return nil
}

// Threads gives graphs compiled from now on n worker threads, 0 as many as there are
// cores. A small network's operations take a few microseconds each: one thread is done
// before a second has woken up, and leaves the other cores to other graphs. It takes
// effect after Yield alone.
func Threads(n int) { C.use_threads(C.int(n)) }

// Trim gives memory that engines have freed back to the system, which the C library
// otherwise keeps for later. Call it when a network is let go.
func Trim() { C.trim() }

// quieted counts the sessions that were made so, and those among them with one thread.
func quieted() (all, single int) { return int(C.made_quiet()), int(C.made_single()) }
