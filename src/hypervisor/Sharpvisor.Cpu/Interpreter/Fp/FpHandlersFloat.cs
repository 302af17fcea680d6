// Registration table: SSE floating point.
using Iced.Intel;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter.Fp.Sse;

namespace Sharpvisor.Cpu.Interpreter.Fp;

internal static unsafe class FpHandlersFloat
{
    public static void Register(HandlerTable t)
    {
        t.Add(Code.Addps_xmm_xmmm128, &SseFloat.Packed<AddOp, float>);
        t.Add(Code.Addpd_xmm_xmmm128, &SseFloat.Packed<AddOp, double>);
        t.Add(Code.Addss_xmm_xmmm32, &SseFloat.Scalar<AddOp, float>);
        t.Add(Code.Addsd_xmm_xmmm64, &SseFloat.Scalar<AddOp, double>);
        t.Add(Code.Subps_xmm_xmmm128, &SseFloat.Packed<SubOp, float>);
        t.Add(Code.Subpd_xmm_xmmm128, &SseFloat.Packed<SubOp, double>);
        t.Add(Code.Subss_xmm_xmmm32, &SseFloat.Scalar<SubOp, float>);
        t.Add(Code.Subsd_xmm_xmmm64, &SseFloat.Scalar<SubOp, double>);
        t.Add(Code.Mulps_xmm_xmmm128, &SseFloat.Packed<MulOp, float>);
        t.Add(Code.Mulpd_xmm_xmmm128, &SseFloat.Packed<MulOp, double>);
        t.Add(Code.Mulss_xmm_xmmm32, &SseFloat.Scalar<MulOp, float>);
        t.Add(Code.Mulsd_xmm_xmmm64, &SseFloat.Scalar<MulOp, double>);
        t.Add(Code.Divps_xmm_xmmm128, &SseFloat.Packed<DivOp, float>);
        t.Add(Code.Divpd_xmm_xmmm128, &SseFloat.Packed<DivOp, double>);
        t.Add(Code.Divss_xmm_xmmm32, &SseFloat.Scalar<DivOp, float>);
        t.Add(Code.Divsd_xmm_xmmm64, &SseFloat.Scalar<DivOp, double>);
        t.Add(Code.Sqrtps_xmm_xmmm128, &SseFloat.Packed<SqrtOp, float>);
        t.Add(Code.Sqrtpd_xmm_xmmm128, &SseFloat.Packed<SqrtOp, double>);
        t.Add(Code.Sqrtss_xmm_xmmm32, &SseFloat.Scalar<SqrtOp, float>);
        t.Add(Code.Sqrtsd_xmm_xmmm64, &SseFloat.Scalar<SqrtOp, double>);
        t.Add(Code.Minps_xmm_xmmm128, &SseFloat.Packed<MinOp, float>);
        t.Add(Code.Minpd_xmm_xmmm128, &SseFloat.Packed<MinOp, double>);
        t.Add(Code.Minss_xmm_xmmm32, &SseFloat.Scalar<MinOp, float>);
        t.Add(Code.Minsd_xmm_xmmm64, &SseFloat.Scalar<MinOp, double>);
        t.Add(Code.Maxps_xmm_xmmm128, &SseFloat.Packed<MaxOp, float>);
        t.Add(Code.Maxpd_xmm_xmmm128, &SseFloat.Packed<MaxOp, double>);
        t.Add(Code.Maxss_xmm_xmmm32, &SseFloat.Scalar<MaxOp, float>);
        t.Add(Code.Maxsd_xmm_xmmm64, &SseFloat.Scalar<MaxOp, double>);
        t.Add(Code.Haddps_xmm_xmmm128, &SseFloat.Horizontal<AddOp, float>);
        t.Add(Code.Haddpd_xmm_xmmm128, &SseFloat.Horizontal<AddOp, double>);
        t.Add(Code.Hsubps_xmm_xmmm128, &SseFloat.Horizontal<SubOp, float>);
        t.Add(Code.Hsubpd_xmm_xmmm128, &SseFloat.Horizontal<SubOp, double>);
        t.Add(Code.Addsubps_xmm_xmmm128, &SseFloat.AddSubtract<float>);
        t.Add(Code.Addsubpd_xmm_xmmm128, &SseFloat.AddSubtract<double>);
        t.Add(Code.Dpps_xmm_xmmm128_imm8, &SseFloat.DotProduct<float>);
        t.Add(Code.Dppd_xmm_xmmm128_imm8, &SseFloat.DotProduct<double>);
        t.Add(Code.Rcpps_xmm_xmmm128, &SseFloat.Approximate<Rcpps>);
        t.Add(Code.Rcpss_xmm_xmmm32, &SseFloat.ApproximateScalar<Rcpps>);
        t.Add(Code.Rsqrtps_xmm_xmmm128, &SseFloat.Approximate<Rsqrtps>);
        t.Add(Code.Rsqrtss_xmm_xmmm32, &SseFloat.ApproximateScalar<Rsqrtps>);
        t.Add(Code.Cmpps_xmm_xmmm128_imm8, &SseCompare.Packed<float>);
        t.Add(Code.Cmppd_xmm_xmmm128_imm8, &SseCompare.Packed<double>);
        t.Add(Code.Cmpss_xmm_xmmm32_imm8, &SseCompare.Scalar<float>);
        t.Add(Code.Cmpsd_xmm_xmmm64_imm8, &SseCompare.Scalar<double>);
        t.Add(Code.Comiss_xmm_xmmm32, &SseCompare.Ordered<float>);
        t.Add(Code.Comisd_xmm_xmmm64, &SseCompare.Ordered<double>);
        t.Add(Code.Ucomiss_xmm_xmmm32, &SseCompare.Unordered<float>);
        t.Add(Code.Ucomisd_xmm_xmmm64, &SseCompare.Unordered<double>);
        t.Add(Code.Cvtsi2ss_xmm_rm32, &SseConvert.FromGpr<uint, float>);
        t.Add(Code.Cvtsi2ss_xmm_rm64, &SseConvert.FromGpr<ulong, float>);
        t.Add(Code.Cvtss2si_r32_xmmm32, &SseConvert.ToGpr<float, uint>);
        t.Add(Code.Cvttss2si_r32_xmmm32, &SseConvert.TruncateToGpr<float, uint>);
        t.Add(Code.Cvtss2si_r64_xmmm32, &SseConvert.ToGpr<float, ulong>);
        t.Add(Code.Cvttss2si_r64_xmmm32, &SseConvert.TruncateToGpr<float, ulong>);
        t.Add(Code.Roundss_xmm_xmmm32_imm8, &SseConvert.RoundScalar<float>);
        t.Add(Code.Roundps_xmm_xmmm128_imm8, &SseConvert.RoundPacked<float>);
        t.Add(Code.Cvtps2dq_xmm_xmmm128, &SseConvert.ToIntegers<float>);
        t.Add(Code.Cvttps2dq_xmm_xmmm128, &SseConvert.TruncateToIntegers<float>);
        t.Add(Code.Cvtpi2ps_xmm_mmm64, &SseConvert.FromMmx<float>);
        t.Add(Code.Cvtsi2sd_xmm_rm32, &SseConvert.FromGpr<uint, double>);
        t.Add(Code.Cvtsi2sd_xmm_rm64, &SseConvert.FromGpr<ulong, double>);
        t.Add(Code.Cvtsd2si_r32_xmmm64, &SseConvert.ToGpr<double, uint>);
        t.Add(Code.Cvttsd2si_r32_xmmm64, &SseConvert.TruncateToGpr<double, uint>);
        t.Add(Code.Cvtsd2si_r64_xmmm64, &SseConvert.ToGpr<double, ulong>);
        t.Add(Code.Cvttsd2si_r64_xmmm64, &SseConvert.TruncateToGpr<double, ulong>);
        t.Add(Code.Roundsd_xmm_xmmm64_imm8, &SseConvert.RoundScalar<double>);
        t.Add(Code.Roundpd_xmm_xmmm128_imm8, &SseConvert.RoundPacked<double>);
        t.Add(Code.Cvtpd2dq_xmm_xmmm128, &SseConvert.ToIntegers<double>);
        t.Add(Code.Cvttpd2dq_xmm_xmmm128, &SseConvert.TruncateToIntegers<double>);
        t.Add(Code.Cvtpi2pd_xmm_mmm64, &SseConvert.FromMmx<double>);
        t.Add(Code.Cvtps2pi_mm_xmmm64, &SseConvert.ToMmx<float>);
        t.Add(Code.Cvttps2pi_mm_xmmm64, &SseConvert.TruncateToMmx<float>);
        t.Add(Code.Cvtpd2pi_mm_xmmm128, &SseConvert.ToMmx<double>);
        t.Add(Code.Cvttpd2pi_mm_xmmm128, &SseConvert.TruncateToMmx<double>);
        t.Add(Code.Cvtss2sd_xmm_xmmm32, &SseConvert.Scalar<float, double>);
        t.Add(Code.Cvtsd2ss_xmm_xmmm64, &SseConvert.Scalar<double, float>);
        t.Add(Code.Cvtps2pd_xmm_xmmm64, &SseConvert.Packed<float, double>);
        t.Add(Code.Cvtpd2ps_xmm_xmmm128, &SseConvert.Packed<double, float>);
        t.Add(Code.Cvtdq2ps_xmm_xmmm128, &SseConvert.IntegersToSingles);
        t.Add(Code.Cvtdq2pd_xmm_xmmm64, &SseConvert.IntegersToDoubles);
    }
}
