package webhook

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/towline/towline/connect"
)

const (
	maxAnswer  = 20000 // bytes of an answer that are read
	maxExcerpt = 200   // bytes of it that are shown
)

// refusal is an answer that fails the record and nothing else.
type refusal struct{ error }

// temporary is a fault that the next attempt may not meet.
type temporary struct {
	error
	after time.Duration // the receiver asks to wait so long
}

// deliver sends an item until it is accepted or refused.
func (s *sink) deliver(ctx context.Context, it *item) error {
	body, err := s.body(it)
	if err != nil {
		return err
	}
	begin := s.now()
	for attempt := 1; ; attempt++ {
		err := s.attempt(ctx, it, body)
		var temp *temporary
		if !errors.As(err, &temp) || ctx.Err() != nil {
			return err
		}
		if s.retry.exhausted(attempt, s.now().Sub(begin)) {
			err = fmt.Errorf("no success in %d attempts: %w", attempt, temp.error)
			if s.retry.failRecord {
				return &refusal{err}
			}
			return err
		}
		s.retrying(1)
		err = s.wait(ctx, s.retry.pause(attempt, temp.after))
		s.retrying(-1)
		if err != nil {
			return err
		}
	}
}

// body returns the bytes to send.
func (s *sink) body(it *item) ([]byte, error) {
	plain := s.buf[it.begin:it.end]
	if !s.gzip {
		return plain, nil
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return b.Bytes(), nil
}

// attempt makes one request.
func (s *sink) attempt(ctx context.Context, it *item, body []byte) error {
	rctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(rctx, http.MethodPost, s.url.String(), bytes.NewReader(body))
	if err != nil {
		return connect.Permanent(errors.New("the URL cannot be requested")) // its error shows it
	}
	s.setHeaders(req, it)
	resp, err := s.client.Do(req)
	if err != nil {
		return s.fault(ctx, rctx, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // to the end, so that the connection is used again
	if err != nil && resp.StatusCode/100 != 2 {
		answer = nil
	}
	return s.judge(resp, answer)
}

func (s *sink) setHeaders(req *http.Request, it *item) {
	for k, v := range s.headers {
		req.Header[k] = v
	}
	if host := s.headers.Get("Host"); host != "" {
		req.Host = host
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "towline")
	}
	if s.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	seconds := s.now().Unix()
	req.Header.Set("webhook-id", it.id)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(seconds, 10))
	if len(s.secrets) > 0 {
		req.Header.Set("webhook-signature", signature(s.secrets, it.id, seconds, s.buf[it.begin:it.end]))
	}
}

// fault explains why there was no answer.
func (s *sink) fault(ctx, rctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // without the URL
	}
	if rctx.Err() != nil {
		err = fmt.Errorf("no answer within %s", s.timeout)
	}
	return &temporary{error: errors.New(s.mask(err.Error()))}
}

// judge tells what an answer means.
func (s *sink) judge(resp *http.Response, answer []byte) error {
	status := resp.StatusCode
	if status/100 == 2 {
		return nil
	}
	err := fmt.Errorf("the answer is %s%s", resp.Status, s.excerpt(answer))
	switch {
	case status == http.StatusGone:
		return connect.Permanent(fmt.Errorf("%w: the receiver does not want any more; start the connector again when it does", err))
	case status/100 == 3:
		return connect.Permanent(fmt.Errorf("%w: redirects are not followed; set %s to where the receiver is", err, optURL))
	case retried(status):
		return &temporary{error: err, after: retryAfter(resp.Header, s.now())}
	}
	return &refusal{err}
}

// excerpt returns the beginning of an answer to show.
func (s *sink) excerpt(answer []byte) string {
	text := strings.TrimSpace(s.mask(string(answer)))
	if len(text) > maxExcerpt {
		text = text[:maxExcerpt] + "..."
	}
	if text == "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", text)
}

// mask hides what must not be shown, where a receiver or proxy repeats it.
func (s *sink) mask(text string) string {
	for _, values := range s.headers {
		for _, v := range values {
			if v != s.headers.Get("Content-Type") && len(v) > 3 {
				text = strings.ReplaceAll(text, v, "[hidden]")
			}
		}
	}
	if s.url.RawQuery != "" {
		text = strings.ReplaceAll(text, s.url.RawQuery, "[hidden]")
	}
	if p, ok := s.url.User.Password(); ok && p != "" {
		text = strings.ReplaceAll(text, p, "[hidden]")
	}
	return text
}
