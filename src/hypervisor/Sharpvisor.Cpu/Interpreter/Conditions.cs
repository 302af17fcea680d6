// The sixteen condition codes (Intel SDM Vol. 1, appendix B) as type parameters.
using System.Runtime.CompilerServices;

namespace Sharpvisor.Cpu.Interpreter;

/// <summary>A condition on the arithmetic flags.</summary>
internal unsafe interface ICondition
{
    static abstract bool Holds(VpState* s);
}

internal unsafe struct IfO : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => Flags.Overflow(s);
}

internal unsafe struct IfNo : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => !Flags.Overflow(s);
}

internal unsafe struct IfB : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => Flags.Carry(s);
}

internal unsafe struct IfAe : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => !Flags.Carry(s);
}

internal unsafe struct IfE : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => Flags.Zero(s);
}

internal unsafe struct IfNe : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => !Flags.Zero(s);
}

internal unsafe struct IfBe : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => Flags.Carry(s) || Flags.Zero(s);
}

internal unsafe struct IfA : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => !Flags.Carry(s) && !Flags.Zero(s);
}

internal unsafe struct IfS : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => Flags.Sign(s);
}

internal unsafe struct IfNs : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => !Flags.Sign(s);
}

internal unsafe struct IfP : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => Flags.Parity(s);
}

internal unsafe struct IfNp : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => !Flags.Parity(s);
}

internal unsafe struct IfL : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => Flags.Less(s);
}

internal unsafe struct IfGe : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => !Flags.Less(s);
}

internal unsafe struct IfLe : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => Flags.Less(s) || Flags.Zero(s);
}

internal unsafe struct IfG : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => !Flags.Less(s) && !Flags.Zero(s);
}

internal unsafe struct IfAlways : ICondition
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds(VpState* s) => true;
}
