package remoting

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"maps"
	"slices"
)

// Credentials sign requests, for brokers with access control.
type Credentials struct {
	AccessKey, SecretKey string
	SecurityToken        string // "" if there is none
}

// sign adds to a request who sends it, and proof of that.
func (k *Credentials) sign(c *Command) {
	fields := make(map[string]string, len(c.Fields)+3)
	maps.Copy(fields, c.Fields)
	fields["AccessKey"] = k.AccessKey
	if k.SecurityToken != "" {
		fields["SecurityToken"] = k.SecurityToken
	}
	mac := hmac.New(sha1.New, []byte(k.SecretKey))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		mac.Write([]byte(fields[name]))
	}
	mac.Write(c.Body)
	fields["Signature"] = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	c.Fields = fields
}
