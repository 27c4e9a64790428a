// Package lint checks the rules of the house: which room may import which,
// where drivers live, and how code is written.
package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	module = "github.com/towline/towline/"
	root   = "../.."
)

// goFile is one parsed file of ours.
type goFile struct {
	path string // from the root, with slashes
	ast  *ast.File
	set  *token.FileSet
	src  []byte
}

func (f *goFile) test() bool  { return strings.HasSuffix(f.path, "_test.go") }
func (f *goFile) dir() string { return path.Dir(f.path) }

func files(t *testing.T) []*goFile {
	t.Helper()
	var all []*goFile
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && len(d.Name()) > 1) {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(p) != ".go" {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(set, p, src, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		all = append(all, &goFile{filepath.ToSlash(rel), parsed, set, src})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d files were found", len(all))
	}
	return all
}

// mayImport says, for rooms with a limit, which of our packages their code
// (tests left out) may import, as prefixes.
var mayImport = []struct {
	room  string
	allow []string
}{
	{"schema/wire", nil},
	{"schema/catalog", []string{"schema"}},
	{"schema", []string{"schema"}},
	{"offsets", []string{"offsets", "schema"}},
	{"connect/worker", []string{"connect", "offsets", "schema"}},
	{"connect/rest", []string{"connect", "offsets", "schema"}},
	{"connect/connecttest", []string{"connect", "offsets", "schema"}},
	{"connect/", []string{"connect", "connect/", "offsets", "schema"}},
	{"connect", []string{"offsets", "schema"}},
	{"cdc/gtid", []string{"connect", "schema/wire"}},
	{"cdc/charset", nil},
	{"cdc", []string{"cdc", "connect", "offsets", "schema"}},
	{"snapshot", []string{"snapshot", "connect", "offsets", "schema"}},
	{"sinks", []string{"sinks", "connect", "offsets", "schema"}},
	{"e2e/child", nil},
	{"e2e/mysqltest", []string{"e2e/child", "e2e/mysqltest"}},
	{"e2e/oracle", nil},
	{"e2e/workload", nil},
}

func TestImportsPointOneWay(t *testing.T) {
	for _, f := range files(t) {
		if f.test() {
			continue
		}
		for _, im := range f.ast.Imports {
			p := strings.Trim(im.Path.Value, `"`)
			if strings.HasPrefix(p, module) && !allowed(f.dir(), strings.TrimPrefix(p, module)) {
				t.Errorf("%s must not import %s", f.path, p)
			}
			if rooms, ok := driverRooms(p); ok && !under(f.dir(), rooms) {
				t.Errorf("%s must not import %s; it lives in %s", f.path, p, strings.Join(rooms, ", "))
			}
		}
	}
}

func allowed(dir, imported string) bool {
	if dir == "connect" {
		return under(imported, []string{"offsets", "schema"})
	}
	if (dir == "schema" || dir == "offsets") && under(imported, []string{dir}) {
		return imported == "schema/wire"
	}
	onlyWorker := imported == "connect/worker"
	if onlyWorker {
		return under(dir, []string{"connect/rest", "connect/herder", "connect/standalone", "connect/cluster", "cmd", "e2e", "connect/worker"})
	}
	for _, r := range mayImport {
		if under(dir, []string{strings.TrimSuffix(r.room, "/")}) {
			return under(imported, r.allow)
		}
	}
	return true
}

// under reports whether dir is one of the rooms or below one.
func under(dir string, rooms []string) bool {
	for _, r := range rooms {
		r = strings.TrimSuffix(r, "/")
		if dir == r || strings.HasPrefix(dir, r+"/") {
			return true
		}
	}
	return false
}

// driverRooms says where a third-party driver may be imported.
func driverRooms(p string) ([]string, bool) {
	for prefix, rooms := range map[string][]string{
		"github.com/go-mysql-org/go-mysql": {"cdc/mysql", "snapshot/mysql", "e2e"},
		"github.com/go-sql-driver/mysql":   {"cdc/mysql", "snapshot/mysql", "sinks/jdbc", "offsets/mysql", "cdc/charset/gen", "e2e"},
		"github.com/cockroachdb/pebble":    {"connect/pebblelog", "offsets/pebble"},
		"github.com/gomodule/redigo":       {"offsets/redis", "e2e"},
		"github.com/prometheus":            {"connect/worker", "connect/rest", "cmd", "e2e"},
	} {
		if strings.HasPrefix(p, prefix) {
			return rooms, true
		}
	}
	return nil, false
}

func TestFormatted(t *testing.T) {
	for _, f := range files(t) {
		want, err := format.Source(f.src)
		if err != nil {
			t.Errorf("%s: %v", f.path, err)
		} else if !bytes.Equal(want, f.src) {
			t.Errorf("%s is not formatted; run gofmt -w", f.path)
		}
	}
}

func TestVet(t *testing.T) {
	cmd := exec.Command("go", "vet", "./...")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go vet: %v\n%s", err, out)
	}
}

func TestPackagesAndNamesAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range files(t) {
		if f.test() {
			continue
		}
		documented[f.dir()] = documented[f.dir()] || f.ast.Doc != nil
		for _, d := range f.ast.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: %s has no doc comment", f.path, name)
			}
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no doc", dir)
		}
	}
}

// undocumented returns the exported names of d that have no comment.
func undocumented(d ast.Decl) []string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
			return []string{d.Name.Name}
		}
	case *ast.GenDecl:
		var names []string
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					names = append(names, s.Name.Name)
				}
			case *ast.ValueSpec:
				if d.Doc == nil && s.Doc == nil && s.Comment == nil && s.Names[0].IsExported() {
					names = append(names, s.Names[0].Name)
				}
			}
		}
		return names
	}
	return nil
}

// exportedReceiver reports whether d is a function or a method of an
// exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if s, ok := typ.(*ast.StarExpr); ok {
		typ = s.X
	}
	if g, ok := typ.(*ast.IndexExpr); ok {
		typ = g.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

func TestNoInitNoContextFieldsNoVaguePackages(t *testing.T) {
	vague := regexp.MustCompile(`^(util|utils|common|types|manager|helper|helpers|base|misc)$`)
	for _, f := range files(t) {
		if vague.MatchString(f.ast.Name.Name) {
			t.Errorf("%s: package %s says nothing", f.path, f.ast.Name.Name)
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					t.Errorf("%s has an init function", f.path)
				}
			case *ast.StructType:
				for _, field := range n.Fields.List {
					if s, ok := field.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Context" && fmt.Sprint(s.X) == "context" && !f.test() && f.dir() != "connect/connecttest" {
						t.Errorf("%s: a struct keeps a context", f.set.Position(field.Pos()))
					}
				}
			}
			return true
		})
	}
}

// TestSize holds functions and files to a size that a reader can take in.
func TestSize(t *testing.T) {
	const maxFunction, maxFile = 110, 650
	for _, f := range files(t) {
		if lines := bytes.Count(f.src, []byte("\n")); lines > maxFile && !f.test() && !bytes.Contains(f.src, []byte("Code generated")) {
			t.Errorf("%s has %d lines; the most is %d", f.path, lines, maxFile)
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || f.test() {
				continue
			}
			if n := f.set.Position(fn.End()).Line - f.set.Position(fn.Pos()).Line; n > maxFunction {
				t.Errorf("%s: %s has %d lines; the most is %d", f.path, fn.Name.Name, n, maxFunction)
			}
		}
	}
}

// TestSpeaksOfItselfAlone keeps hosts of package registries and paths of
// single machines out of the tree.
func TestSpeaksOfItselfAlone(t *testing.T) {
	bad := regexp.MustCompile(`deb\.debian\.org|proxy\.golang\.org|repo1?\.maven|pypi\.org|registry\.npmjs|/work/(main|shared)|/tmp/(team|bash_jobs)`)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || d.Name() == ".git" || strings.HasSuffix(p, "lint_test.go") { // .git is a file in a worktree
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Size() > 1<<20 || !info.Mode().IsRegular() {
			return err
		}
		src, err := os.ReadFile(p)
		if m := bad.Find(src); m != nil {
			t.Errorf("%s names %s", p, m)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTopLevel keeps the top level as it was decided.
func TestTopLevel(t *testing.T) {
	want := map[string]bool{"cmd": true, "cdc": true, "snapshot": true, "sinks": true, "connect": true, "offsets": true, "schema": true, "deploy": true, "e2e": true,
		"go.mod": true, "go.sum": true, "Makefile": true, "README.md": true, "DESIGN.md": true, "CHANGELOG.md": true, "LICENSE": true,
		".ci": true, ".git": true, ".gitignore": true, "bin": true}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !want[e.Name()] && !strings.HasSuffix(e.Name(), "-data") {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}
