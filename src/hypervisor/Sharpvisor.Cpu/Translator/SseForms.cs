// SSE to SSE4.2 instructions that are translated: the table part of NativeForm. Encodings are asked of Iced's opcode table.
using Iced.Intel;

namespace Sharpvisor.Cpu.Translator;

internal static class SseForms
{
    /// <summary>Fills in the forms. Sub: bytes of the memory operand, 0 for 16 that need no alignment.</summary>
    public static void Register(NativeForm[] t)
    {
        Add(t, NativeKind.SseBinary, 16,
        [
            Code.Paddb_xmm_xmmm128, Code.Paddw_xmm_xmmm128, Code.Paddd_xmm_xmmm128, Code.Paddq_xmm_xmmm128, Code.Psubb_xmm_xmmm128,
            Code.Psubw_xmm_xmmm128, Code.Psubd_xmm_xmmm128, Code.Psubq_xmm_xmmm128, Code.Paddsb_xmm_xmmm128, Code.Paddsw_xmm_xmmm128,
            Code.Paddusb_xmm_xmmm128, Code.Paddusw_xmm_xmmm128, Code.Psubsb_xmm_xmmm128, Code.Psubsw_xmm_xmmm128, Code.Psubusb_xmm_xmmm128,
            Code.Psubusw_xmm_xmmm128, Code.Pcmpeqb_xmm_xmmm128, Code.Pcmpeqw_xmm_xmmm128, Code.Pcmpeqd_xmm_xmmm128,
            Code.Pcmpeqq_xmm_xmmm128, Code.Pcmpgtb_xmm_xmmm128, Code.Pcmpgtw_xmm_xmmm128, Code.Pcmpgtd_xmm_xmmm128,
            Code.Pcmpgtq_xmm_xmmm128, Code.Pmullw_xmm_xmmm128, Code.Pmulhw_xmm_xmmm128, Code.Pmulhuw_xmm_xmmm128, Code.Pmulld_xmm_xmmm128,
            Code.Pmuludq_xmm_xmmm128, Code.Pmuldq_xmm_xmmm128, Code.Pmaddwd_xmm_xmmm128, Code.Pmaddubsw_xmm_xmmm128,
            Code.Pmulhrsw_xmm_xmmm128, Code.Psadbw_xmm_xmmm128, Code.Pavgb_xmm_xmmm128, Code.Pavgw_xmm_xmmm128, Code.Pminub_xmm_xmmm128,
            Code.Pminsw_xmm_xmmm128, Code.Pminsb_xmm_xmmm128, Code.Pminsd_xmm_xmmm128, Code.Pminuw_xmm_xmmm128, Code.Pminud_xmm_xmmm128,
            Code.Pmaxub_xmm_xmmm128, Code.Pmaxsw_xmm_xmmm128, Code.Pmaxsb_xmm_xmmm128, Code.Pmaxsd_xmm_xmmm128, Code.Pmaxuw_xmm_xmmm128,
            Code.Pmaxud_xmm_xmmm128, Code.Pand_xmm_xmmm128, Code.Pandn_xmm_xmmm128, Code.Por_xmm_xmmm128, Code.Pxor_xmm_xmmm128,
            Code.Punpcklbw_xmm_xmmm128, Code.Punpcklwd_xmm_xmmm128, Code.Punpckldq_xmm_xmmm128, Code.Punpcklqdq_xmm_xmmm128,
            Code.Punpckhbw_xmm_xmmm128, Code.Punpckhwd_xmm_xmmm128, Code.Punpckhdq_xmm_xmmm128, Code.Punpckhqdq_xmm_xmmm128,
            Code.Packsswb_xmm_xmmm128, Code.Packssdw_xmm_xmmm128, Code.Packuswb_xmm_xmmm128, Code.Packusdw_xmm_xmmm128,
            Code.Psllw_xmm_xmmm128, Code.Pslld_xmm_xmmm128, Code.Psllq_xmm_xmmm128, Code.Psrlw_xmm_xmmm128, Code.Psrld_xmm_xmmm128,
            Code.Psrlq_xmm_xmmm128, Code.Psraw_xmm_xmmm128, Code.Psrad_xmm_xmmm128, Code.Phaddw_xmm_xmmm128, Code.Phaddd_xmm_xmmm128,
            Code.Phaddsw_xmm_xmmm128, Code.Phsubw_xmm_xmmm128, Code.Phsubd_xmm_xmmm128, Code.Phsubsw_xmm_xmmm128, Code.Psignb_xmm_xmmm128,
            Code.Psignw_xmm_xmmm128, Code.Psignd_xmm_xmmm128, Code.Pshufb_xmm_xmmm128, Code.Pabsb_xmm_xmmm128, Code.Pabsw_xmm_xmmm128,
            Code.Pabsd_xmm_xmmm128, Code.Phminposuw_xmm_xmmm128, Code.Unpcklps_xmm_xmmm128, Code.Unpckhps_xmm_xmmm128,
            Code.Movsldup_xmm_xmmm128, Code.Movshdup_xmm_xmmm128, Code.Aesenc_xmm_xmmm128, Code.Aesenclast_xmm_xmmm128,
            Code.Aesdec_xmm_xmmm128, Code.Aesdeclast_xmm_xmmm128, Code.Aesimc_xmm_xmmm128, Code.Andps_xmm_xmmm128, Code.Andpd_xmm_xmmm128,
            Code.Andnps_xmm_xmmm128, Code.Andnpd_xmm_xmmm128, Code.Orps_xmm_xmmm128, Code.Orpd_xmm_xmmm128, Code.Xorps_xmm_xmmm128,
            Code.Xorpd_xmm_xmmm128, Code.Unpcklpd_xmm_xmmm128, Code.Unpckhpd_xmm_xmmm128, Code.Pshufd_xmm_xmmm128_imm8,
            Code.Pshuflw_xmm_xmmm128_imm8, Code.Pshufhw_xmm_xmmm128_imm8, Code.Shufps_xmm_xmmm128_imm8, Code.Shufpd_xmm_xmmm128_imm8,
            Code.Palignr_xmm_xmmm128_imm8, Code.Blendps_xmm_xmmm128_imm8, Code.Blendpd_xmm_xmmm128_imm8, Code.Pblendw_xmm_xmmm128_imm8,
            Code.Mpsadbw_xmm_xmmm128_imm8, Code.Pclmulqdq_xmm_xmmm128_imm8, Code.Aeskeygenassist_xmm_xmmm128_imm8, Code.Movaps_xmm_xmmm128,
            Code.Movapd_xmm_xmmm128, Code.Movdqa_xmm_xmmm128, Code.Movntdqa_xmm_m128,
            Code.Pblendvb_xmm_xmmm128, Code.Blendvps_xmm_xmmm128, Code.Blendvpd_xmm_xmmm128,
        ]);
        Add(t, NativeKind.SseBinary, 0,
        [
            Code.Movups_xmm_xmmm128, Code.Movupd_xmm_xmmm128, Code.Movdqu_xmm_xmmm128, Code.Lddqu_xmm_m128,
        ]);
        Add(t, NativeKind.SseBinary, 8,
        [
            Code.Pmovsxbw_xmm_xmmm64, Code.Pmovsxwd_xmm_xmmm64, Code.Pmovsxdq_xmm_xmmm64, Code.Pmovzxbw_xmm_xmmm64,
            Code.Pmovzxwd_xmm_xmmm64, Code.Pmovzxdq_xmm_xmmm64, Code.Movddup_xmm_xmmm64, Code.Movsd_xmm_xmmm64, Code.Movq_xmm_xmmm64,
            Code.Movlps_xmm_m64, Code.Movlpd_xmm_m64, Code.Movhps_xmm_m64, Code.Movhpd_xmm_m64, Code.Movhlps_xmm_xmm, Code.Movlhps_xmm_xmm,
        ]);
        Add(t, NativeKind.SseBinary, 4,
        [
            Code.Pmovsxbd_xmm_xmmm32, Code.Pmovsxwq_xmm_xmmm32, Code.Pmovzxbd_xmm_xmmm32, Code.Pmovzxwq_xmm_xmmm32, Code.Movss_xmm_xmmm32,
        ]);
        Add(t, NativeKind.SseBinary, 2,
        [
            Code.Pmovsxbq_xmm_xmmm16, Code.Pmovzxbq_xmm_xmmm16,
        ]);
        Add(t, NativeKind.SseShiftImm, 16,
        [
            Code.Psllw_xmm_imm8, Code.Pslld_xmm_imm8, Code.Psllq_xmm_imm8, Code.Psrlw_xmm_imm8, Code.Psrld_xmm_imm8, Code.Psrlq_xmm_imm8,
            Code.Psraw_xmm_imm8, Code.Psrad_xmm_imm8, Code.Pslldq_xmm_imm8, Code.Psrldq_xmm_imm8,
        ]);
        Add(t, NativeKind.SseStore, 16,
        [
            Code.Movaps_xmmm128_xmm, Code.Movapd_xmmm128_xmm, Code.Movdqa_xmmm128_xmm, Code.Movntps_m128_xmm, Code.Movntpd_m128_xmm,
            Code.Movntdq_m128_xmm,
        ]);
        Add(t, NativeKind.SseStore, 0,
        [
            Code.Movups_xmmm128_xmm, Code.Movupd_xmmm128_xmm, Code.Movdqu_xmmm128_xmm,
        ]);
        Add(t, NativeKind.SseStore, 8,
        [
            Code.Movsd_xmmm64_xmm, Code.Movlps_m64_xmm, Code.Movlpd_m64_xmm, Code.Movq_xmmm64_xmm, Code.Movhps_m64_xmm, Code.Movhpd_m64_xmm,
        ]);
        Add(t, NativeKind.SseStore, 4,
        [
            Code.Movss_xmmm32_xmm,
        ]);
        Add(t, NativeKind.SseFloat, 16,
        [
            Code.Addps_xmm_xmmm128, Code.Addpd_xmm_xmmm128, Code.Subps_xmm_xmmm128, Code.Subpd_xmm_xmmm128, Code.Mulps_xmm_xmmm128,
            Code.Mulpd_xmm_xmmm128, Code.Divps_xmm_xmmm128, Code.Divpd_xmm_xmmm128, Code.Sqrtps_xmm_xmmm128, Code.Sqrtpd_xmm_xmmm128,
            Code.Minps_xmm_xmmm128, Code.Minpd_xmm_xmmm128, Code.Maxps_xmm_xmmm128, Code.Maxpd_xmm_xmmm128, Code.Haddps_xmm_xmmm128,
            Code.Haddpd_xmm_xmmm128, Code.Hsubps_xmm_xmmm128, Code.Hsubpd_xmm_xmmm128, Code.Addsubps_xmm_xmmm128, Code.Addsubpd_xmm_xmmm128,
            Code.Dpps_xmm_xmmm128_imm8, Code.Dppd_xmm_xmmm128_imm8, Code.Cmpps_xmm_xmmm128_imm8, Code.Cmppd_xmm_xmmm128_imm8,
            Code.Roundps_xmm_xmmm128_imm8, Code.Roundpd_xmm_xmmm128_imm8, Code.Cvtps2dq_xmm_xmmm128, Code.Cvttps2dq_xmm_xmmm128,
            Code.Cvtpd2dq_xmm_xmmm128, Code.Cvttpd2dq_xmm_xmmm128, Code.Cvtpd2ps_xmm_xmmm128, Code.Cvtdq2ps_xmm_xmmm128,
        ]);
        Add(t, NativeKind.SseFloat, 8,
        [
            Code.Addsd_xmm_xmmm64, Code.Subsd_xmm_xmmm64, Code.Mulsd_xmm_xmmm64, Code.Divsd_xmm_xmmm64, Code.Sqrtsd_xmm_xmmm64,
            Code.Minsd_xmm_xmmm64, Code.Maxsd_xmm_xmmm64, Code.Cmpsd_xmm_xmmm64_imm8, Code.Roundsd_xmm_xmmm64_imm8,
            Code.Cvtsd2ss_xmm_xmmm64, Code.Cvtps2pd_xmm_xmmm64, Code.Cvtdq2pd_xmm_xmmm64,
        ]);
        Add(t, NativeKind.SseFloat, 4,
        [
            Code.Addss_xmm_xmmm32, Code.Subss_xmm_xmmm32, Code.Mulss_xmm_xmmm32, Code.Divss_xmm_xmmm32, Code.Sqrtss_xmm_xmmm32,
            Code.Minss_xmm_xmmm32, Code.Maxss_xmm_xmmm32, Code.Cmpss_xmm_xmmm32_imm8, Code.Roundss_xmm_xmmm32_imm8,
            Code.Cvtss2sd_xmm_xmmm32,
        ]);
        Add(t, NativeKind.SseCompare, 8,
        [
            Code.Comisd_xmm_xmmm64, Code.Ucomisd_xmm_xmmm64,
        ]);
        Add(t, NativeKind.SseCompare, 4,
        [
            Code.Comiss_xmm_xmmm32, Code.Ucomiss_xmm_xmmm32,
        ]);
        Add(t, NativeKind.SseTest, 16,
        [
            Code.Ptest_xmm_xmmm128,
        ]);
        Add(t, NativeKind.SseStringIndex, 0,
        [
            Code.Pcmpistri_xmm_xmmm128_imm8,
        ]);
        Add(t, NativeKind.SseFromGpr, 4,
        [
            Code.Movd_xmm_rm32, Code.Pinsrd_xmm_rm32_imm8,
        ]);
        Add(t, NativeKind.SseFromGpr, 8,
        [
            Code.Movq_xmm_rm64, Code.Pinsrq_xmm_rm64_imm8,
        ]);
        Add(t, NativeKind.SseToRm, 4,
        [
            Code.Movd_rm32_xmm, Code.Pextrd_rm32_xmm_imm8,
        ]);
        Add(t, NativeKind.SseToRm, 8,
        [
            Code.Movq_rm64_xmm, Code.Pextrq_rm64_xmm_imm8,
        ]);
        Add(t, NativeKind.SseToGpr, 4,
        [
            Code.Pmovmskb_r32_xmm, Code.Movmskps_r32_xmm, Code.Movmskpd_r32_xmm, Code.Pextrw_r32_xmm_imm8,
        ]);
        Add(t, NativeKind.SseFloatFromGpr, 4,
        [
            Code.Cvtsi2ss_xmm_rm32, Code.Cvtsi2sd_xmm_rm32,
        ]);
        Add(t, NativeKind.SseFloatFromGpr, 8,
        [
            Code.Cvtsi2ss_xmm_rm64, Code.Cvtsi2sd_xmm_rm64,
        ]);
        Add(t, NativeKind.SseFloatToGpr, 4,
        [
            Code.Cvtss2si_r32_xmmm32, Code.Cvttss2si_r32_xmmm32, Code.Cvtsd2si_r32_xmmm64, Code.Cvttsd2si_r32_xmmm64,
        ]);
        Add(t, NativeKind.SseFloatToGpr, 8,
        [
            Code.Cvtss2si_r64_xmmm32, Code.Cvttss2si_r64_xmmm32, Code.Cvtsd2si_r64_xmmm64, Code.Cvttsd2si_r64_xmmm64,
        ]);
    }

    private static void Add(NativeForm[] t, NativeKind kind, int bytes, ReadOnlySpan<Code> codes)
    {
        foreach (Code code in codes)
        {
            OpCodeInfo info = code.ToOpCode();
            int map = info.Table switch
            {
                OpCodeTableKind.T0F38 => 0x0F3800,
                OpCodeTableKind.T0F3A => 0x0F3A00,
                _ => 0x0F00,
            };
            int prefix = info.MandatoryPrefix switch
            {
                MandatoryPrefix.P66 => 0x66,
                MandatoryPrefix.PF3 => 0xF3,
                MandatoryPrefix.PF2 => 0xF2,
                _ => 0,
            };
            bool immediate = info.OpCount > 0 && info.GetOpKind(info.OpCount - 1) == OpCodeOperandKind.imm8;
            t[(int)code] = new NativeForm(kind, bytes, map | (int)info.OpCode, Math.Max(info.GroupIndex, 0), prefix, immediate);
        }
    }
}
