// The shapes of arithmetic that one generic handler each serves. Implementations are empty structs, so the JIT makes one
// specialised handler per instruction and no virtual call remains.
using System.Runtime.Intrinsics;

namespace Sharpvisor.Cpu.Interpreter.Fp.Sse;

/// <summary>destination = f(destination, source). Also serves unary instructions, which ignore a.</summary>
internal interface IVectorBinary
{
    static abstract Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b);
}

/// <summary>destination = f(destination, source, imm8).</summary>
internal interface IVectorImmediate
{
    static abstract Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b, byte immediate);
}

/// <summary>A general register from a vector.</summary>
internal interface IVectorToGpr
{
    static abstract ulong Apply(Vector128<byte> value, byte immediate);
}
