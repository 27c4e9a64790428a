package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/towline/towline/connect"
)

// parseSecrets reads secrets that are separated by spaces.
func parseSecrets(value string) ([][]byte, error) {
	var list [][]byte
	for i, s := range strings.Fields(value) {
		b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "whsec_"))
		if err != nil || len(b) < 24 || len(b) > 64 {
			return nil, fmt.Errorf("secret %d is not whsec_ and 24 to 64 bytes in base64; make one with: echo whsec_$(openssl rand -base64 32)", i+1)
		}
		list = append(list, b)
	}
	return list, nil
}

// signature returns the value of webhook-signature: one for each secret.
func signature(secrets [][]byte, id string, seconds int64, body []byte) string {
	var b []byte
	for i, secret := range secrets {
		if i > 0 {
			b = append(b, ' ')
		}
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(id))
		h.Write([]byte{'.'})
		h.Write(strconv.AppendInt(nil, seconds, 10))
		h.Write([]byte{'.'})
		h.Write(body)
		b = base64.StdEncoding.AppendEncode(append(b, "v1,"...), h.Sum(nil))
	}
	return string(b)
}

// messageID returns the value of webhook-id. buf is scratch memory and is
// returned.
func messageID(connector string, r *connect.Record, buf []byte) (string, []byte) {
	buf = appendPart(buf[:0], connector)
	buf = appendPart(buf, r.Table.Database)
	buf = appendPart(buf, r.Table.Name)
	buf = append(buf, byte(r.Op))
	buf = binary.BigEndian.AppendUint64(buf, r.Seq)
	if r.Seq == 0 {
		buf = appendPart(buf, r.Home())
		buf = binary.BigEndian.AppendUint64(buf, uint64(r.Partition))
		buf = binary.BigEndian.AppendUint64(buf, uint64(r.Offset))
		buf = binary.BigEndian.AppendUint64(buf, uint64(r.Row))
	}
	if _, key, value, ok := r.Message(); ok { // Seq is that of the change before
		buf = appendPart(appendPart(buf, string(key)), string(value))
	}
	if r.Op.HasRow() {
		buf = connect.AppendKey(buf, r.Key(), r.Table.Key)
	}
	sum := sha256.Sum256(buf)
	return "msg_" + hex.EncodeToString(sum[:16]), buf
}

// appendPart appends s so that what follows cannot be taken for a part of it.
func appendPart(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
