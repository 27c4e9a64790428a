package config

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
)

var reference = regexp.MustCompile(`\$\{([a-z]+):([^}]*)\}`)

// Resolve replaces the references in value: ${env:NAME} by a variable of the
// environment, ${file:/path:key} by the value of a key in a properties file.
// secret reports whether there was one. The text of an error never holds
// what was resolved.
func Resolve(value string) (resolved string, secret bool, err error) {
	if !strings.Contains(value, "${") {
		return value, false, nil
	}
	resolved = reference.ReplaceAllStringFunc(value, func(ref string) string {
		m := reference.FindStringSubmatch(ref)
		v, known, e := lookup(m[1], m[2])
		if !known {
			return ref // a template of the plug-in's own, such as ${topic}
		}
		secret = true
		if e != nil && err == nil {
			err = e
		}
		return v
	})
	return resolved, secret, err
}

func lookup(provider, arg string) (value string, known bool, err error) {
	switch provider {
	case "env":
		v, ok := os.LookupEnv(arg)
		if !ok {
			return "", true, fmt.Errorf("the environment has no variable %s", arg)
		}
		return v, true, nil
	case "file":
		path, key, ok := cutLast(arg, ':')
		if !ok {
			return "", true, fmt.Errorf("${file:%s} names no key; write ${file:/path:key}", arg)
		}
		v, err := property(path, key)
		return v, true, err
	}
	return "", false, nil
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// property reads one key of a properties file: lines of key=value, with
// comments after # or !.
func property(path, key string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("secrets file: %w", err)
	}
	sc := bufio.NewScanner(bytes.NewReader(data))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		if ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v), nil
		}
	}
	return "", fmt.Errorf("secrets file %s has no key %q", path, key)
}
