//go:build k8sd

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMessagesOfARecoveryGoToStandardOutputAndErrorsToStandardError(t *testing.T) {
	for sentence, c := range map[string]struct {
		flags      recoverFlags
		code       int
		out, fault string
	}{
		"nothing to do": {
			recoverFlags{nonInteractive: true, skipK8sd: true, skipK8sDqlite: true}, 0, "Skipping k8s-dqlite recovery.\n", "",
		},
		"no terminal": {
			recoverFlags{}, 1, "", "Recovery precheck failed: interactive mode requested in a non-interactive terminal\n",
		},
		"no directory": {
			recoverFlags{nonInteractive: true}, 1, "", "Recovery precheck failed: k8s-dqlite state dir not specified\n",
		},
	} {
		var out, fault strings.Builder
		code := (&recovery{recoverFlags: c.flags, out: &out, fault: &fault}).run()
		if code != c.code || !strings.HasSuffix(out.String(), c.out) || fault.String() != c.fault {
			t.Errorf("%s: %d, said %q, complained %q", sentence, code, out.String(), fault.String())
		}
	}
}

func TestK8sdsRecoveryRefusesWhatTheSocketOfADeadDaemonLooksLike(t *testing.T) {
	state := t.TempDir()
	for name, text := range map[string]string{
		"database/cluster.yaml": "- ID: 1\n  Address: 10.77.0.1:6400\n  Role: 0\n",
		"truststore/haone.yaml": "name: haone\naddress: 10.77.0.1:6400\ncertificate: |\n" + indented(t),
		"control.socket":        "",
	} {
		path := filepath.Join(state, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := recoverK8sd(state, 0)
	if err == nil || !strings.Contains(err.Error(), "Daemon is running (socket path exists") {
		t.Errorf("said %v", err)
	}
}

// indented is a certificate as a block of YAML.
func indented(t *testing.T) string {
	crt, _, err := newCertificate("haone")
	if err != nil {
		t.Fatal(err)
	}
	return "    " + strings.ReplaceAll(strings.TrimSpace(string(crt)), "\n", "\n    ") + "\n"
}
