#include "textflag.h"

// Y0 to Y3 are the states a, b, c and d of eight messages, one to each 32-bit lane.
// Y4 and Y5 are scratch, Y7 is all ones. The sixteen words of eight blocks stand on
// the stack, one row of eight words after the other. SI points to the constants.

// ADDWORD adds word k and constant i to a.
#define ADDWORD(a, k, i) \
	VPBROADCASTD (i*4)(SI), Y5   \
	VPADDD       (k*32)(SP), Y5, Y5 \
	VPADDD       Y5, a, a

// ROTATE adds the round's function in Y4 to a, rotates it left by s, and adds b.
#define ROTATE(a, b, s) \
	VPADDD Y4, a, a       \
	VPSLLD $s, a, Y4      \
	VPSRLD $(32-s), a, a  \
	VPOR   Y4, a, a       \
	VPADDD b, a, a

// The steps of the four rounds (RFC 1321 section 3.4).
#define STEP1(a, b, c, d, k, s, i) \
	VPXOR c, d, Y4   \
	ADDWORD(a, k, i) \
	VPAND b, Y4, Y4  \
	VPXOR d, Y4, Y4  \
	ROTATE(a, b, s)

#define STEP2(a, b, c, d, k, s, i) \
	VPXOR b, c, Y4   \
	ADDWORD(a, k, i) \
	VPAND d, Y4, Y4  \
	VPXOR c, Y4, Y4  \
	ROTATE(a, b, s)

#define STEP3(a, b, c, d, k, s, i) \
	VPXOR c, d, Y4   \
	ADDWORD(a, k, i) \
	VPXOR b, Y4, Y4  \
	ROTATE(a, b, s)

#define STEP4(a, b, c, d, k, s, i) \
	VPXOR Y7, d, Y4  \
	ADDWORD(a, k, i) \
	VPOR  b, Y4, Y4  \
	VPXOR c, Y4, Y4  \
	ROTATE(a, b, s)

// FOUR is four steps, after which the states are where they were.
#define FOUR(STEP, k0, k1, k2, k3, s0, s1, s2, s3, i) \
	STEP(Y0, Y1, Y2, Y3, k0, s0, i)       \
	STEP(Y3, Y0, Y1, Y2, k1, s1, (i + 1)) \
	STEP(Y2, Y3, Y0, Y1, k2, s2, (i + 2)) \
	STEP(Y1, Y2, Y3, Y0, k3, s3, (i + 3))

// TRANSPOSE puts eight words of each of eight blocks, from offset on, on the stack.
#define TRANSPOSE(offset) \
	VMOVDQU    offset(AX)(R13*1), Y0   \
	VMOVDQU    offset(BX)(R13*1), Y1   \
	VMOVDQU    offset(CX)(R13*1), Y2   \
	VMOVDQU    offset(DX)(R13*1), Y3   \
	VMOVDQU    offset(R8)(R13*1), Y4   \
	VMOVDQU    offset(R9)(R13*1), Y5   \
	VMOVDQU    offset(R10)(R13*1), Y6  \
	VMOVDQU    offset(R11)(R13*1), Y7  \
	VPUNPCKLDQ Y1, Y0, Y8              \
	VPUNPCKHDQ Y1, Y0, Y9              \
	VPUNPCKLDQ Y3, Y2, Y10             \
	VPUNPCKHDQ Y3, Y2, Y11             \
	VPUNPCKLDQ Y5, Y4, Y12             \
	VPUNPCKHDQ Y5, Y4, Y13             \
	VPUNPCKLDQ Y7, Y6, Y14             \
	VPUNPCKHDQ Y7, Y6, Y15             \
	VPUNPCKLQDQ Y10, Y8, Y0            \
	VPUNPCKHQDQ Y10, Y8, Y1            \
	VPUNPCKLQDQ Y11, Y9, Y2            \
	VPUNPCKHQDQ Y11, Y9, Y3            \
	VPUNPCKLQDQ Y14, Y12, Y4           \
	VPUNPCKHQDQ Y14, Y12, Y5           \
	VPUNPCKLQDQ Y15, Y13, Y6           \
	VPUNPCKHQDQ Y15, Y13, Y7           \
	VPERM2I128 $0x20, Y4, Y0, Y8       \
	VPERM2I128 $0x20, Y5, Y1, Y9       \
	VPERM2I128 $0x20, Y6, Y2, Y10      \
	VPERM2I128 $0x20, Y7, Y3, Y11      \
	VPERM2I128 $0x31, Y4, Y0, Y12      \
	VPERM2I128 $0x31, Y5, Y1, Y13      \
	VPERM2I128 $0x31, Y6, Y2, Y14      \
	VPERM2I128 $0x31, Y7, Y3, Y15      \
	VMOVDQU    Y8, (offset*8)(SP)      \
	VMOVDQU    Y9, (offset*8+32)(SP)   \
	VMOVDQU    Y10, (offset*8+64)(SP)  \
	VMOVDQU    Y11, (offset*8+96)(SP)  \
	VMOVDQU    Y12, (offset*8+128)(SP) \
	VMOVDQU    Y13, (offset*8+160)(SP) \
	VMOVDQU    Y14, (offset*8+192)(SP) \
	VMOVDQU    Y15, (offset*8+224)(SP)

// func blocks(state *[4][8]uint32, data *[8]*byte, n int)
TEXT ·blocks(SB), NOSPLIT, $512-24
	MOVQ state+0(FP), DI
	MOVQ data+8(FP), SI
	MOVQ n+16(FP), R12
	MOVQ 0(SI), AX
	MOVQ 8(SI), BX
	MOVQ 16(SI), CX
	MOVQ 24(SI), DX
	MOVQ 32(SI), R8
	MOVQ 40(SI), R9
	MOVQ 48(SI), R10
	MOVQ 56(SI), R11
	LEAQ ·constants(SB), SI
	XORQ R13, R13

next:
	TRANSPOSE(0)
	TRANSPOSE(32)
	VMOVDQU  0(DI), Y0
	VMOVDQU  32(DI), Y1
	VMOVDQU  64(DI), Y2
	VMOVDQU  96(DI), Y3
	VPCMPEQD Y7, Y7, Y7

	FOUR(STEP1, 0, 1, 2, 3, 7, 12, 17, 22, 0)
	FOUR(STEP1, 4, 5, 6, 7, 7, 12, 17, 22, 4)
	FOUR(STEP1, 8, 9, 10, 11, 7, 12, 17, 22, 8)
	FOUR(STEP1, 12, 13, 14, 15, 7, 12, 17, 22, 12)
	FOUR(STEP2, 1, 6, 11, 0, 5, 9, 14, 20, 16)
	FOUR(STEP2, 5, 10, 15, 4, 5, 9, 14, 20, 20)
	FOUR(STEP2, 9, 14, 3, 8, 5, 9, 14, 20, 24)
	FOUR(STEP2, 13, 2, 7, 12, 5, 9, 14, 20, 28)
	FOUR(STEP3, 5, 8, 11, 14, 4, 11, 16, 23, 32)
	FOUR(STEP3, 1, 4, 7, 10, 4, 11, 16, 23, 36)
	FOUR(STEP3, 13, 0, 3, 6, 4, 11, 16, 23, 40)
	FOUR(STEP3, 9, 12, 15, 2, 4, 11, 16, 23, 44)
	FOUR(STEP4, 0, 7, 14, 5, 6, 10, 15, 21, 48)
	FOUR(STEP4, 12, 3, 10, 1, 6, 10, 15, 21, 52)
	FOUR(STEP4, 8, 15, 6, 13, 6, 10, 15, 21, 56)
	FOUR(STEP4, 4, 11, 2, 9, 6, 10, 15, 21, 60)

	VPADDD  0(DI), Y0, Y0
	VPADDD  32(DI), Y1, Y1
	VPADDD  64(DI), Y2, Y2
	VPADDD  96(DI), Y3, Y3
	VMOVDQU Y0, 0(DI)
	VMOVDQU Y1, 32(DI)
	VMOVDQU Y2, 64(DI)
	VMOVDQU Y3, 96(DI)
	ADDQ    $64, R13
	DECQ    R12
	JNZ     next

	VZEROUPPER
	RET
