package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/canonical/go-dqlite/v2/app"
)

// clusterTLS loads NAME.crt and NAME.key of a directory as the mutual TLS that all nodes of one dqlite cluster share.
func clusterTLS(dir string) (listen, dial *tls.Config, err error) {
	crt := filepath.Join(dir, "cluster.crt")
	pair, err := tls.LoadX509KeyPair(crt, filepath.Join(dir, "cluster.key"))
	if err != nil {
		return nil, nil, fmt.Errorf("failed to load keypair from cluster.crt and cluster.key: %w", err)
	}
	data, err := os.ReadFile(crt)
	if err != nil {
		return nil, nil, fmt.Errorf("failed to read cluster.crt: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, nil, fmt.Errorf("failed to add %s to the pool: no certificate in it", crt)
	}
	listen, dial = app.SimpleTLSConfig(pair, pool)
	// As the snap does: without a session cache.
	dial.ClientSessionCache = nil
	return listen, dial, nil
}

// newCertificate makes a self-signed pair. Elliptic, because a guest pays dearly for RSA.
func newCertificate(name string) (crt, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate a key for %s: %w", name, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, fmt.Errorf("draw a serial number for %s: %w", name, err)
	}
	template := x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Now().AddDate(20, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		DNSNames:              []string{name},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, private.Public(), private)
	if err != nil {
		return nil, nil, fmt.Errorf("sign the certificate of %s: %w", name, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the key of %s: %w", name, err)
	}
	crt = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return crt, key, nil
}

// writeCertificate writes NAME.crt and NAME.key, unreadable to others from the first byte.
func writeCertificate(dir, name string, crt, key []byte) error {
	if err := os.WriteFile(filepath.Join(dir, name+".key"), key, 0o600); err != nil {
		return fmt.Errorf("write the key of %s: %w", name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".crt"), crt, 0o600); err != nil {
		return fmt.Errorf("write the certificate of %s: %w", name, err)
	}
	return nil
}
