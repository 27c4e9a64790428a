package remoting

import (
	"errors"
	"fmt"
)

// Code says what a request asks for, or how it went.
type Code int

// Requests.
const (
	reqPull           Code = 11
	reqQueryOffset    Code = 14
	reqUpdateOffset   Code = 15
	reqCreateTopic    Code = 17
	reqSearchOffset   Code = 29
	reqMaxOffset      Code = 30
	reqMinOffset      Code = 31
	reqHeartbeat      Code = 34
	reqUnregister     Code = 35
	reqMembers        Code = 38
	reqMembersChanged Code = 40
	reqLock           Code = 41
	reqUnlock         Code = 42
	reqRoute          Code = 105
	reqCluster        Code = 106
	reqCreateGroup    Code = 200
	reqTopicStats     Code = 202
	reqConsumeStats   Code = 208
	reqSendBatch      Code = 320
	reqTopicList      Code = 206
	reqTopicConfig    Code = 351
)

// Answers that callers tell apart.
const (
	Success             Code = 0
	SystemError         Code = 1
	SystemBusy          Code = 2
	FlushDiskTimeout    Code = 10
	SlaveNotAvailable   Code = 11
	FlushSlaveTimeout   Code = 12
	MessageIllegal      Code = 13
	ServiceNotAvailable Code = 14
	NoPermission        Code = 16
	TopicNotExist       Code = 17
	PullNotFound        Code = 19
	PullRetry           Code = 20
	PullOffsetMoved     Code = 21
	QueryNotFound       Code = 22
	GroupNotExist       Code = 26
)

// Error is the refusal of a server.
type Error struct {
	What   string // the deed, such as "create topic t"
	Addr   string
	Code   Code
	Remark string
}

// Error says what was refused, by whom and why.
func (e *Error) Error() string {
	hint := ""
	if e.Code == NoPermission {
		hint = "; check the access key, the secret key and what they may do"
	}
	return fmt.Sprintf("remoting: %s: %s answers with code %d: %s%s", e.What, e.Addr, e.Code, e.Remark, hint)
}

// IsCode reports whether err is a refusal with a code.
func IsCode(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}
