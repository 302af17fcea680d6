// RCPPS and RSQRTPS have implementation-defined low bits (Intel SDM Vol. 2 gives only a bound on the error).
using static System.Runtime.Intrinsics.Vector128;
using HostSse = System.Runtime.Intrinsics.X86.Sse;
using V = System.Runtime.Intrinsics.Vector128<byte>;

namespace Sharpvisor.Cpu.Interpreter.Fp.Sse;

internal readonly struct Rcpps : IVectorBinary
{
    public static V Apply(V a, V b) => HostSse.Reciprocal(b.AsSingle()).AsByte();
}

internal readonly struct Rsqrtps : IVectorBinary
{
    public static V Apply(V a, V b) => HostSse.ReciprocalSqrt(b.AsSingle()).AsByte();
}
