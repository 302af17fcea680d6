// The SIMD integer, logic and shuffle instructions as pure functions of their operands: Intel SDM Vol. 2. A table, one struct
// per mnemonic; MMX uses the same functions on the low halves.
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using HostAes = System.Runtime.Intrinsics.X86.Aes;
using V = System.Runtime.Intrinsics.Vector128<byte>;

namespace Sharpvisor.Cpu.Interpreter.Fp.Sse;

internal readonly struct Paddb : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Add(a.AsByte(), b.AsByte()).AsByte();
}

internal readonly struct Paddw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Add(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Paddd : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Add(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct Paddq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Add(a.AsUInt64(), b.AsUInt64()).AsByte();
}

internal readonly struct Psubb : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Subtract(a.AsByte(), b.AsByte()).AsByte();
}

internal readonly struct Psubw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Subtract(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Psubd : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Subtract(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct Psubq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Subtract(a.AsUInt64(), b.AsUInt64()).AsByte();
}

internal readonly struct Paddsb : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.AddSaturate(a.AsSByte(), b.AsSByte()).AsByte();
}

internal readonly struct Paddsw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.AddSaturate(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Paddusb : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.AddSaturate(a.AsByte(), b.AsByte()).AsByte();
}

internal readonly struct Paddusw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.AddSaturate(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Psubsb : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.SubtractSaturate(a.AsSByte(), b.AsSByte()).AsByte();
}

internal readonly struct Psubsw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.SubtractSaturate(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Psubusb : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.SubtractSaturate(a.AsByte(), b.AsByte()).AsByte();
}

internal readonly struct Psubusw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.SubtractSaturate(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Pcmpeqb : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.CompareEqual(a.AsByte(), b.AsByte()).AsByte();
}

internal readonly struct Pcmpeqw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.CompareEqual(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Pcmpeqd : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.CompareEqual(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct Pcmpeqq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.CompareEqual(a.AsUInt64(), b.AsUInt64()).AsByte();
}

internal readonly struct Pcmpgtb : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.CompareGreaterThan(a.AsSByte(), b.AsSByte()).AsByte();
}

internal readonly struct Pcmpgtw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.CompareGreaterThan(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Pcmpgtd : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.CompareGreaterThan(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct Pcmpgtq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse42.CompareGreaterThan(a.AsInt64(), b.AsInt64()).AsByte();
}

internal readonly struct Pmullw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.MultiplyLow(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Pmulhw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.MultiplyHigh(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Pmulhuw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.MultiplyHigh(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Pmulld : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.MultiplyLow(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct Pmuludq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Multiply(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct Pmuldq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.Multiply(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct Pmaddwd : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.MultiplyAddAdjacent(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Pmaddubsw : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.MultiplyAddAdjacent(a, b.AsSByte()).AsByte();
}

internal readonly struct Pmulhrsw : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.MultiplyHighRoundScale(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Psadbw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.SumAbsoluteDifferences(a.AsByte(), b.AsByte()).AsByte();
}

internal readonly struct Pavgb : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Average(a.AsByte(), b.AsByte()).AsByte();
}

internal readonly struct Pavgw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Average(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Pminub : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Min(a.AsByte(), b.AsByte()).AsByte();
}

internal readonly struct Pminsw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Min(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Pminsb : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.Min(a.AsSByte(), b.AsSByte()).AsByte();
}

internal readonly struct Pminsd : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.Min(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct Pminuw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.Min(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Pminud : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.Min(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct Pmaxub : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Max(a.AsByte(), b.AsByte()).AsByte();
}

internal readonly struct Pmaxsw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Max(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Pmaxsb : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.Max(a.AsSByte(), b.AsSByte()).AsByte();
}

internal readonly struct Pmaxsd : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.Max(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct Pmaxuw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.Max(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Pmaxud : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.Max(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct Pand : IVectorBinary
{
    public static V Apply(V a, V b) => a & b;
}

internal readonly struct Pandn : IVectorBinary
{
    public static V Apply(V a, V b) => ~a & b;
}

internal readonly struct Por : IVectorBinary
{
    public static V Apply(V a, V b) => a | b;
}

internal readonly struct Pxor : IVectorBinary
{
    public static V Apply(V a, V b) => a ^ b;
}

internal readonly struct Punpcklbw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.UnpackLow(a.AsByte(), b.AsByte()).AsByte();
}

internal readonly struct Punpcklwd : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.UnpackLow(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Punpckldq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.UnpackLow(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct Punpcklqdq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.UnpackLow(a.AsUInt64(), b.AsUInt64()).AsByte();
}

internal readonly struct Punpckhbw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.UnpackHigh(a.AsByte(), b.AsByte()).AsByte();
}

internal readonly struct Punpckhwd : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.UnpackHigh(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Punpckhdq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.UnpackHigh(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct Punpckhqdq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.UnpackHigh(a.AsUInt64(), b.AsUInt64()).AsByte();
}

internal readonly struct Packsswb : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.PackSignedSaturate(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Packssdw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.PackSignedSaturate(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct Packuswb : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.PackUnsignedSaturate(a.AsInt16(), b.AsInt16());
}

internal readonly struct Packusdw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.PackUnsignedSaturate(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct Psllw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.ShiftLeftLogical(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Pslld : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.ShiftLeftLogical(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct Psllq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.ShiftLeftLogical(a.AsUInt64(), b.AsUInt64()).AsByte();
}

internal readonly struct Psrlw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.ShiftRightLogical(a.AsUInt16(), b.AsUInt16()).AsByte();
}

internal readonly struct Psrld : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.ShiftRightLogical(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct Psrlq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.ShiftRightLogical(a.AsUInt64(), b.AsUInt64()).AsByte();
}

internal readonly struct Psraw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.ShiftRightArithmetic(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Psrad : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.ShiftRightArithmetic(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct Phaddw : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.HorizontalAdd(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Phaddd : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.HorizontalAdd(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct Phaddsw : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.HorizontalAddSaturate(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Phsubw : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.HorizontalSubtract(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Phsubd : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.HorizontalSubtract(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct Phsubsw : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.HorizontalSubtractSaturate(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Psignb : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.Sign(a.AsSByte(), b.AsSByte()).AsByte();
}

internal readonly struct Psignw : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.Sign(a.AsInt16(), b.AsInt16()).AsByte();
}

internal readonly struct Psignd : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.Sign(a.AsInt32(), b.AsInt32()).AsByte();
}

internal readonly struct Pshufb : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.Shuffle(a.AsByte(), b.AsByte()).AsByte();
}

internal readonly struct Pabsb : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.Abs(b.AsSByte()).AsByte();
}

internal readonly struct Pabsw : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.Abs(b.AsInt16()).AsByte();
}

internal readonly struct Pabsd : IVectorBinary
{
    public static V Apply(V a, V b) => Ssse3.Abs(b.AsInt32()).AsByte();
}

internal readonly struct Pmovsxbw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.ConvertToVector128Int16(b.AsSByte()).AsByte();
}

internal readonly struct Pmovsxbd : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.ConvertToVector128Int32(b.AsSByte()).AsByte();
}

internal readonly struct Pmovsxbq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.ConvertToVector128Int64(b.AsSByte()).AsByte();
}

internal readonly struct Pmovsxwd : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.ConvertToVector128Int32(b.AsInt16()).AsByte();
}

internal readonly struct Pmovsxwq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.ConvertToVector128Int64(b.AsInt16()).AsByte();
}

internal readonly struct Pmovsxdq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.ConvertToVector128Int64(b.AsInt32()).AsByte();
}

internal readonly struct Pmovzxbw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.ConvertToVector128Int16(b.AsByte()).AsByte();
}

internal readonly struct Pmovzxbd : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.ConvertToVector128Int32(b.AsByte()).AsByte();
}

internal readonly struct Pmovzxbq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.ConvertToVector128Int64(b.AsByte()).AsByte();
}

internal readonly struct Pmovzxwd : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.ConvertToVector128Int32(b.AsUInt16()).AsByte();
}

internal readonly struct Pmovzxwq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.ConvertToVector128Int64(b.AsUInt16()).AsByte();
}

internal readonly struct Pmovzxdq : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.ConvertToVector128Int64(b.AsUInt32()).AsByte();
}

internal readonly struct Phminposuw : IVectorBinary
{
    public static V Apply(V a, V b) => Sse41.MinHorizontal(b.AsUInt16()).AsByte();
}

internal readonly struct Unpcklps : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.UnpackLow(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct Unpckhps : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.UnpackHigh(a.AsUInt32(), b.AsUInt32()).AsByte();
}

internal readonly struct Movsldup : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Shuffle(b.AsInt32(), 0xA0).AsByte();
}

internal readonly struct Movshdup : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.Shuffle(b.AsInt32(), 0xF5).AsByte();
}

internal readonly struct Movddup : IVectorBinary
{
    public static V Apply(V a, V b) => Sse2.UnpackLow(b.AsUInt64(), b.AsUInt64()).AsByte();
}

internal readonly struct Aesenc : IVectorBinary
{
    public static V Apply(V a, V b) => HostAes.Encrypt(a, b);
}

internal readonly struct Aesenclast : IVectorBinary
{
    public static V Apply(V a, V b) => HostAes.EncryptLast(a, b);
}

internal readonly struct Aesdec : IVectorBinary
{
    public static V Apply(V a, V b) => HostAes.Decrypt(a, b);
}

internal readonly struct Aesdeclast : IVectorBinary
{
    public static V Apply(V a, V b) => HostAes.DecryptLast(a, b);
}

internal readonly struct Aesimc : IVectorBinary
{
    public static V Apply(V a, V b) => HostAes.InverseMixColumns(b);
}
