package bundle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/poi"
)

// SignatureFile holds the signature of a bundle that has one.
const SignatureFile = "manifest.sig"

const (
	signatureFormat = "whereto-signature/1"
	maxSignature    = 4096
	maxKeyFile      = 4096
)

// signature is manifest.sig.
type signature struct {
	Format    string `json:"format"`
	Key       string `json:"key"`       // KeyID of the public key
	Signature string `json:"signature"` // base64, Ed25519 of signed(manifest)
}

// signed is what a signature covers: a line that keeps it from meaning anything else,
// then manifest.json byte for byte, which holds the sum of every part.
func signed(manifest []byte) []byte {
	return append([]byte(signatureFormat+"\n"), manifest...)
}

// KeyID is a short name of a public key, safe to show: 16 hex digits of its SHA-256.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// NewKey makes a key pair: the private key in path, readable by its owner alone, the
// public one in path.pub. Both are PEM (PKCS #8 and PKIX), as OpenSSL reads them.
// Neither file may exist.
func NewKey(path string) (ed25519.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	shown, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	if err := writeNew(path, "PRIVATE KEY", secret, 0o600); err != nil {
		return nil, err
	}
	if err := writeNew(path+".pub", "PUBLIC KEY", shown, 0o644); err != nil {
		return nil, errors.Join(err, os.Remove(path)) // half a pair is of no use
	}
	return public, nil
}

func writeNew(path, kind string, der []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("write the key file: %w; name one that does not exist", err)
	}
	err = errors.Join(pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write the key file %s: %w", path, errors.Join(err, os.Remove(path)))
	}
	return file.SyncDir(filepath.Dir(path))
}

// ReadPrivateKey reads a key to sign with.
func ReadPrivateKey(path string) (ed25519.PrivateKey, error) {
	der, err := readPEM(path, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	private, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("key file %s: %w: not a private Ed25519 key in PKCS #8", path, poi.ErrBadInput)
	}
	return private, nil
}

// ReadPublicKey reads a key to trust.
func ReadPublicKey(path string) (ed25519.PublicKey, error) {
	der, err := readPEM(path, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	public, ok := key.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("key file %s: %w: not a public Ed25519 key", path, poi.ErrBadInput)
	}
	return public, nil
}

// readPEM never repeats what it read.
func readPEM(path, kind string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	block, rest := pem.Decode(text)
	if len(text) > maxKeyFile || block == nil || block.Type != kind || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("key file %s: %w: want one PEM block %q", path, poi.ErrBadInput, kind)
	}
	return block.Bytes, nil
}

// Sign signs the manifest of a bundle; a signature that is there is replaced. It does
// not verify the parts: Open does.
func Sign(dir string, key ed25519.PrivateKey) error {
	if err := sign(dir, key); err != nil {
		return fmt.Errorf("sign bundle %s: %w", dir, err)
	}
	return nil
}

func sign(dir string, key ed25519.PrivateKey) error {
	if len(key) != ed25519.PrivateKeySize {
		return fmt.Errorf("%w: a private key of %d bytes, want %d", poi.ErrBadInput, len(key), ed25519.PrivateKeySize)
	}
	public := key.Public().(ed25519.PublicKey) // as its documentation promises
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	manifest, err := readSmall(root, ManifestFile, maxManifest)
	if err != nil {
		return err
	}
	if _, err := decode(manifest); err != nil {
		return err
	}
	text, err := json.MarshalIndent(signature{signatureFormat, KeyID(public), base64.StdEncoding.EncodeToString(ed25519.Sign(key, signed(manifest)))}, "", "  ")
	if err != nil {
		return err
	}
	return file.Write(filepath.Join(dir, SignatureFile), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// Verify checks that one of the keys has signed the manifest of a bundle, or returns
// ErrSignature. Open with the same keys checks the parts as well.
func Verify(dir string, trusted []ed25519.PublicKey) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("verify bundle: %w", err)
	}
	defer root.Close()
	manifest, err := readSmall(root, ManifestFile, maxManifest)
	if err == nil {
		err = verify(root, manifest, trusted)
	}
	if err != nil {
		return fmt.Errorf("verify bundle %s: %w", dir, err)
	}
	return nil
}

func verify(root *os.Root, manifest []byte, trusted []ed25519.PublicKey) error {
	text, err := readSmall(root, SignatureFile, maxSignature)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: it has no %s; sign it with a trusted key", ErrSignature, SignatureFile)
	}
	if err != nil {
		return err
	}
	var s signature
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil || s.Format != signatureFormat {
		return fmt.Errorf("%w: %s is not of the format %s", ErrSignature, SignatureFile, signatureFormat)
	}
	raw, err := base64.StdEncoding.DecodeString(s.Signature)
	if err != nil {
		return fmt.Errorf("%w: %s holds no base64", ErrSignature, SignatureFile)
	}
	for _, key := range trusted {
		if len(key) != ed25519.PublicKeySize || KeyID(key) != s.Key {
			continue
		}
		if ed25519.Verify(key, signed(manifest), raw) {
			return nil
		}
		return fmt.Errorf("%w: %s was not signed by key %s, or changed since", ErrSignature, ManifestFile, s.Key)
	}
	return fmt.Errorf("%w: it names key %q, which is not among the %d trusted ones", ErrSignature, s.Key, len(trusted))
}
