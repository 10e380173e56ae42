package aaa
type planReply struct{}
