package rest

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// Role is what somebody may do.
type Role int

// The roles.
const (
	Nobody Role = iota
	Reader      // may read all but secrets, which nobody may
	Admin       // may change connectors too
)

// Account is somebody who may ask: by name and password or, without a name, by
// a token.
type Account struct {
	Name   string
	Secret string
	Role   Role
}

// accounts are those who may ask, their secrets as hashes.
type accounts []account

type account struct {
	name string
	hash [sha256.Size]byte
	role Role
}

func newAccounts(list []Account) accounts {
	var a accounts
	for _, x := range list {
		a = append(a, account{x.Name, sha256.Sum256([]byte(x.Secret)), x.Role})
	}
	return a
}

// role returns the role of who sent r.
func (a accounts) role(r *http.Request) Role {
	name, secret, ok := r.BasicAuth()
	if !ok {
		kind, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
		if !found || !strings.EqualFold(kind, "Bearer") {
			return Nobody
		}
		name, secret = "", strings.TrimSpace(token)
	} else if name == "" {
		return Nobody
	}
	hash, role := sha256.Sum256([]byte(secret)), Nobody
	for i := range a { // all of them, whoever it is: the time tells nothing
		if subtle.ConstantTimeCompare(hash[:], a[i].hash[:]) == 1 && a[i].name == name {
			role = a[i].role
		}
	}
	return role
}
