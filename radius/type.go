package radius

// Type is the type of an attribute (RFC 2865 section 5). Package dictionary has
// the names, data types and values of all; the constants here are those that code
// refers to.
type Type uint8

// Attribute types, named as in the RFCs.
const (
	TypeUserName               Type = 1 // RFC 2865
	TypeUserPassword           Type = 2
	TypeCHAPPassword           Type = 3
	TypeNASIPAddress           Type = 4
	TypeNASPort                Type = 5
	TypeServiceType            Type = 6
	TypeFramedProtocol         Type = 7
	TypeFramedIPAddress        Type = 8
	TypeFramedIPNetmask        Type = 9
	TypeFramedRouting          Type = 10
	TypeFilterID               Type = 11
	TypeFramedMTU              Type = 12
	TypeFramedCompression      Type = 13
	TypeLoginIPHost            Type = 14
	TypeLoginService           Type = 15
	TypeLoginTCPPort           Type = 16
	TypeReplyMessage           Type = 18
	TypeCallbackNumber         Type = 19
	TypeCallbackID             Type = 20
	TypeFramedRoute            Type = 22
	TypeFramedIPXNetwork       Type = 23
	TypeState                  Type = 24
	TypeClass                  Type = 25
	TypeVendorSpecific         Type = 26
	TypeSessionTimeout         Type = 27
	TypeIdleTimeout            Type = 28
	TypeTerminationAction      Type = 29
	TypeCalledStationID        Type = 30
	TypeCallingStationID       Type = 31
	TypeNASIdentifier          Type = 32
	TypeProxyState             Type = 33
	TypeLoginLATService        Type = 34
	TypeLoginLATNode           Type = 35
	TypeLoginLATGroup          Type = 36
	TypeFramedAppleTalkLink    Type = 37
	TypeFramedAppleTalkNetwork Type = 38
	TypeFramedAppleTalkZone    Type = 39
	TypeAcctStatusType         Type = 40 // RFC 2866
	TypeAcctDelayTime          Type = 41
	TypeAcctInputOctets        Type = 42
	TypeAcctOutputOctets       Type = 43
	TypeAcctSessionID          Type = 44
	TypeAcctAuthentic          Type = 45
	TypeAcctSessionTime        Type = 46
	TypeAcctInputPackets       Type = 47
	TypeAcctOutputPackets      Type = 48
	TypeAcctTerminateCause     Type = 49
	TypeAcctMultiSessionID     Type = 50
	TypeAcctLinkCount          Type = 51
	TypeAcctInputGigawords     Type = 52 // RFC 2869
	TypeAcctOutputGigawords    Type = 53
	TypeEventTimestamp         Type = 55
	TypeEgressVLANID           Type = 56 // RFC 4675
	TypeIngressFilters         Type = 57
	TypeEgressVLANName         Type = 58
	TypeUserPriorityTable      Type = 59
	TypeCHAPChallenge          Type = 60 // RFC 2865
	TypeNASPortType            Type = 61
	TypePortLimit              Type = 62
	TypeLoginLATPort           Type = 63
	TypeTunnelType             Type = 64 // RFC 2868
	TypeTunnelMediumType       Type = 65
	TypeTunnelClientEndpoint   Type = 66
	TypeTunnelServerEndpoint   Type = 67
	TypeAcctTunnelConnection   Type = 68 // RFC 2867
	TypeTunnelPassword         Type = 69 // RFC 2868
	TypeARAPPassword           Type = 70 // RFC 2869
	TypeARAPFeatures           Type = 71
	TypeARAPZoneAccess         Type = 72
	TypeARAPSecurity           Type = 73
	TypeARAPSecurityData       Type = 74
	TypePasswordRetry          Type = 75
	TypePrompt                 Type = 76
	TypeConnectInfo            Type = 77
	TypeConfigurationToken     Type = 78
	TypeEAPMessage             Type = 79
	TypeMessageAuthenticator   Type = 80
	TypeTunnelPrivateGroupID   Type = 81 // RFC 2868
	TypeTunnelAssignmentID     Type = 82
	TypeTunnelPreference       Type = 83
	TypeARAPChallengeResponse  Type = 84 // RFC 2869
	TypeAcctInterimInterval    Type = 85
	TypeAcctTunnelPacketsLost  Type = 86 // RFC 2867
	TypeNASPortID              Type = 87 // RFC 2869
	TypeFramedPool             Type = 88
	TypeChargeableUserIdentity Type = 89 // RFC 4372
	TypeTunnelClientAuthID     Type = 90 // RFC 2868
	TypeTunnelServerAuthID     Type = 91
	TypeNASFilterRule          Type = 92 // RFC 4849
	TypeNASIPv6Address         Type = 95 // RFC 3162
	TypeFramedInterfaceID      Type = 96
	TypeFramedIPv6Prefix       Type = 97
	TypeLoginIPv6Host          Type = 98
	TypeFramedIPv6Route        Type = 99
	TypeFramedIPv6Pool         Type = 100
	TypeErrorCause             Type = 101 // RFC 5176
	TypeEAPKeyName             Type = 102 // RFC 4072
	TypeDigestResponse         Type = 103 // RFC 5090
	TypeDelegatedIPv6Prefix    Type = 123 // RFC 4818
	TypeOperatorName           Type = 126 // RFC 5580
	TypeFramedIPv6Address      Type = 168 // RFC 6911
	TypeDNSServerIPv6Address   Type = 169
	TypeRouteIPv6Information   Type = 170
	TypeDelegatedIPv6Pool      Type = 171
	TypeStatefulIPv6Pool       Type = 172
	TypeExtended1              Type = 241 // RFC 6929
	TypeExtended2              Type = 242
	TypeExtended3              Type = 243
	TypeExtended4              Type = 244
	TypeExtended5              Type = 245
	TypeExtended6              Type = 246
)

// The values of Acct-Status-Type (RFC 2866 section 5.1).
const (
	AcctStart         uint32 = 1
	AcctStop          uint32 = 2
	AcctInterimUpdate uint32 = 3
	AcctAccountingOn  uint32 = 7
	AcctAccountingOff uint32 = 8
)
