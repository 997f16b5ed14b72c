package bundle

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whereto/whereto/poi"
)

func newKey(t testing.TB) (ed25519.PublicKey, ed25519.PrivateKey, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	public, err := NewKey(path)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ReadPrivateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return public, private, path
}

func trust(keys ...ed25519.PublicKey) VerifyOptions { return VerifyOptions{Trusted: keys} }

func TestKeyFiles(t *testing.T) {
	public, private, path := newKey(t)
	read, err := ReadPublicKey(path + ".pub")
	if err != nil || !read.Equal(public) || !private.Public().(ed25519.PublicKey).Equal(public) {
		t.Errorf("the files do not hold the pair: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key has mode %v, error %v", info.Mode(), err)
	}
	if id := KeyID(public); len(id) != 16 {
		t.Errorf("id %q", id)
	}
	if _, err := NewKey(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a key: error %v", err)
	}
	taken := filepath.Join(t.TempDir(), "k")
	mustWrite(t, taken+".pub", "taken")
	if _, err := NewKey(taken); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a public key: error %v", err)
	}
	if _, err := os.Stat(taken); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a pair is left: %v", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"nothing": "", "no PEM": "secret", "two": string(text) + string(text), "long": string(text) + strings.Repeat("\n", maxKeyFile),
		"another kind": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		bad := filepath.Join(t.TempDir(), "bad")
		mustWrite(t, bad, content)
		_, err := ReadPrivateKey(bad)
		wantError(t, name, err, poi.ErrBadInput, bad)
		if body := strings.Split(string(text), "\n")[1]; strings.Contains(err.Error(), body[:20]) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
		_, err = ReadPublicKey(bad)
		wantError(t, name, err, poi.ErrBadInput, bad)
	}
	if _, err := ReadPublicKey(path); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("a private key as a public one: error %v", err)
	}
	if _, err := ReadPrivateKey(path + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: error %v", err)
	}
}

func TestSignature(t *testing.T) {
	dir, m := small(t, "name: x\n")
	mine, private, _ := newKey(t)
	other, stranger, _ := newKey(t)
	_, err := Open(t.Context(), dir, trust(mine))
	wantError(t, "unsigned", err, ErrSignature, SignatureFile)
	if err := Sign(dir, stranger); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), dir, trust(mine))
	wantError(t, "signed by another", err, ErrSignature, KeyID(other))
	if err := Sign(dir, private); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]VerifyOptions{"its key": trust(mine), "one of two": trust(other, mine), "none asked": {}} {
		if b, err := Open(t.Context(), dir, o); err != nil || b.Manifest.Version != m.Version {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if err := Verify(dir, []ed25519.PublicKey{mine}); err != nil {
		t.Error(err)
	}
	wantError(t, "no key", Verify(dir, nil), ErrSignature)
	wantError(t, "half a key", Verify(dir, []ed25519.PublicKey{mine[:5]}), ErrSignature)
	wantError(t, "half a private key", Sign(dir, private[:7]), poi.ErrBadInput)

	// What is not among the parts, such as the name, is signed too.
	edited := copyDir(t, dir)
	path := filepath.Join(edited, ManifestFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, path, strings.Replace(string(text), `"name": "fake"`, `"name": "best"`, 1))
	if _, err := Open(t.Context(), edited, VerifyOptions{}); err != nil {
		t.Errorf("another name is a fine bundle: %v", err)
	}
	_, err = Open(t.Context(), edited, trust(mine))
	wantError(t, "another name", err, ErrSignature, "changed since")

	good, err := os.ReadFile(filepath.Join(dir, SignatureFile))
	if err != nil {
		t.Fatal(err)
	}
	bare := base64.StdEncoding.EncodeToString(ed25519.Sign(private, text))
	for name, content := range map[string]string{"empty": "", "long": string(good) + strings.Repeat(" ", maxSignature), "another format": strings.Replace(string(good), "/1", "/2", 1),
		"extra field": strings.Replace(string(good), "{", `{"x":1,`, 1), "no base64": strings.Replace(string(good), `"signature": "`, `"signature": "?`, 1),
		"a signature of the bare manifest": `{"format":"whereto-signature/1","key":"` + KeyID(mine) + `","signature":"` + bare + `"}`} {
		harmed := copyDir(t, dir)
		mustWrite(t, filepath.Join(harmed, SignatureFile), content)
		if _, err := Open(t.Context(), harmed, trust(mine)); !errors.Is(err, ErrSignature) && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	wantError(t, "no bundle", Sign(t.TempDir(), private), ErrCorrupt, ManifestFile)
}

func TestPackSigns(t *testing.T) {
	mine, private, _ := newKey(t)
	dir := filepath.Join(t.TempDir(), "b")
	if _, err := Pack(t.Context(), PackOptions{Run: fakeRun(t, "name: x\n"), Out: dir, Sign: private}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir, trust(mine)); err != nil {
		t.Error(err)
	}
}
