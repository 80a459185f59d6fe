package main

import (
	"reflect"
	"testing"

	"github.com/canonical/go-dqlite/v2"
)

func TestSnapshotNumbersAreKeptWithinWhatTheDatastoreAccepts(t *testing.T) {
	for _, c := range []struct{ threshold, trailing, wantThreshold, wantTrailing uint64 }{
		{512, 4096, 512, 4096},
		{0, 4096, 3072, 4096},
		{10, 4096, 384, 4096},
		{1000, 600, 600, 600},
		{384, 10, 10, 512},
	} {
		want := dqlite.SnapshotParams{Threshold: c.wantThreshold, Trailing: c.wantTrailing}
		if got := adjustSnapshot(c.threshold, c.trailing); got != want {
			t.Errorf("threshold %d, trailing %d: %+v, wanted %+v", c.threshold, c.trailing, got, want)
		}
	}
}

func TestANewMembershipMayOnlyChangeRolesAndAddresses(t *testing.T) {
	one := dqliteMember{ID: 1, Address: "10.77.0.1:6400", Role: "voter", Name: "haone"}
	two := dqliteMember{ID: 2, Address: "10.77.0.2:6400", Role: "spare", Name: "hatwo"}
	old := []dqliteMember{one, two}
	change := func(edit func(m *dqliteMember)) dqliteMember {
		changed := two
		edit(&changed)
		return changed
	}
	lowered := one
	lowered.Role = "spare"
	for sentence, c := range map[string]struct {
		wanted []dqliteMember
		says   string
	}{
		"nothing changed":      {[]dqliteMember{one, two}, ""},
		"another address":      {[]dqliteMember{one, change(func(m *dqliteMember) { m.Address = "[fd00::2]:6400" })}, ""},
		"one is missing":       {[]dqliteMember{one}, "members cannot be added or removed"},
		"another ID":           {[]dqliteMember{one, change(func(m *dqliteMember) { m.ID = 3 })}, "ID or name changed for member hatwo"},
		"nobody votes":         {[]dqliteMember{lowered, two}, "At least one voter is required"},
		"an address twice":     {[]dqliteMember{one, change(func(m *dqliteMember) { m.Address = one.Address })}, `Duplicate address "10.77.0.1:6400"`},
		"no address and port":  {[]dqliteMember{one, change(func(m *dqliteMember) { m.Address = "10.77.0.2" })}, `Invalid address "10.77.0.2": not an ip:port`},
		"two members in a row": {[]dqliteMember{two, one}, ""},
	} {
		said := ""
		if err := validateMembers(old, c.wanted); err != nil {
			said = err.Error()
		}
		if said != c.says {
			t.Errorf("%s: said %q, wanted %q", sentence, said, c.says)
		}
	}
}

func TestArgumentsFilesAreSplitAtBlanksAndUnquoted(t *testing.T) {
	got := parseArgs("--listen=\"unix:///a\"\n--storage-dir=/b --c\n")
	want := []string{"--listen=unix:///a", "--storage-dir=/b", "--c"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, wanted %q", got, want)
	}
}

func TestTheSnapAloneNamesEveryService(t *testing.T) {
	services, whole, err := chosenServices([]string{"k8s"})
	if err != nil || !whole || len(services) != len(allServices) {
		t.Errorf("got %q, %v, %v", services, whole, err)
	}
	for _, names := range [][]string{nil, {"lxd"}, {"k8s.nothing"}} {
		if _, _, err := chosenServices(names); err == nil {
			t.Errorf("%q was accepted", names)
		}
	}
}

func TestLowStorageMayOnlyDoNothing(t *testing.T) {
	if _, err := parseK8sDqliteFlags([]string{"--low-available-storage-action=handover"}); err == nil {
		t.Error("handover at low storage was accepted")
	}
	flags, err := parseK8sDqliteFlags([]string{"--storage-dir", "/d", "--metrics=false"})
	if err != nil || flags.storageDir != "/d" || !flags.tls {
		t.Errorf("got %+v, %v", flags, err)
	}
}
