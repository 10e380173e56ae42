package radius

// VendorMicrosoft is Microsoft's enterprise number, under which MS-CHAP travels.
const VendorMicrosoft = 311

// Microsoft's attributes for MS-CHAP and MPPE (RFC 2548), in Vendor-Specific of
// VendorMicrosoft.
const (
	MSCHAPResponse       = 1
	MSCHAPError          = 2
	MSMPPEEncryptPolicy  = 7
	MSMPPEEncryptTypes   = 8
	MSCHAPChallenge      = 11
	MSCHAPMPPEKeys       = 12
	MSMPPESendKey        = 16
	MSMPPERecvKey        = 17
	MSCHAP2Response      = 25
	MSCHAP2Success       = 26
	MSCHAPResponseLength = 50 // of MS-CHAP-Response and MS-CHAP2-Response, in octets
	// MSCHAPUseNTResponse is the flag in MS-CHAP-Response that NT-Response is the
	// one to check (RFC 2548 section 2.1.3).
	MSCHAPUseNTResponse = 1
)
