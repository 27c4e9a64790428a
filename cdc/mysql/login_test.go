package mysql

import (
	"strconv"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
)

// Every kind of account, with each of both clients that the source has: in full
// the first time, and then by what the server has cached.
func TestAccounts(t *testing.T) {
	srv := mysqltest.Start(t)
	for _, l := range srv.Logins(t) {
		for mode, fault := range map[string]string{"disabled": l.Plain, "preferred": l.TLS} {
			t.Run(l.Name+" "+mode, func(t *testing.T) {
				r := newRig(t, srv)
				r.values[optUser], r.values[optPassword], r.values[optSSLMode] = l.User, l.Password, mode
				s := r.source(t)
				db, err := s.settings.openDB()
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				db.SetMaxIdleConns(0) // each ping logs in
				for name, enter := range map[string]func() error{
					"driver": func() error { return s.settings.explain("connect to", db.PingContext(t.Context())) },
					"client": func() error {
						conn, err := s.settings.dial(t.Context())
						if err != nil {
							return err
						}
						return conn.Close()
					},
				} {
					srv.Exec(t, "FLUSH PRIVILEGES") // forgets passwords
					for range 2 {
						err := enter()
						t.Logf("%s: %v", name, err)
						check(t, fault, err)
						if err != nil && !connect.IsPermanent(err) {
							t.Errorf("%s: it would be tried again: %v", name, err)
						}
					}
				}
			})
		}
	}
}

// A login in a way that neither client has is named.
func TestForeignPlugins(t *testing.T) {
	srv := mysqltest.Start(t)
	srv.Exec(t, "CREATE USER foreigner@'%' IDENTIFIED WITH sha256_password BY 'geheim'")
	for _, plugin := range []string{"authentication_webauthn_client", "authentication_kerberos_client", "authentication_ldap_sasl_client", "mysql_clear_password"} {
		t.Run(plugin, func(t *testing.T) {
			r := newRig(t, srv)
			r.values[optPort] = strconv.Itoa(srv.AskingFor(t, plugin).Port)
			r.values[optUser], r.values[optPassword], r.values[optSSLMode] = "foreigner", "geheim", "disabled"
			s := r.source(t)
			defer s.Close()
			want := "logs in by the plug-in " + plugin + ", which is not supported; run ALTER USER 'foreigner'"
			err := s.Open(t.Context(), nil, nil)
			check(t, want, err)
			if !connect.IsPermanent(err) {
				t.Errorf("it would be tried again: %v", err)
			}
			if plugin == "mysql_clear_password" {
				return // the client sends it; no source comes so far, as Open fails first
			}
			_, err = s.settings.dial(t.Context())
			check(t, want, err)
		})
	}
}
