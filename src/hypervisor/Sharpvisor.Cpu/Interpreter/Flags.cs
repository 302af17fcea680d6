// RFLAGS with lazy arithmetic flags (Intel SDM Vol. 1, 3.4.3): see LazyFlags for the representation.
using System.Numerics;
using System.Runtime.CompilerServices;

namespace Sharpvisor.Cpu.Interpreter;

/// <summary>Reads and writes RFLAGS while the engine runs. Nobody else may use the arithmetic bits of <see cref="VpState.RFlags"/> then.</summary>
internal static unsafe class Flags
{
    public const ulong CF = 1;
    public const ulong PF = 4;
    public const ulong AF = 0x10;
    public const ulong ZF = 0x40;
    public const ulong SF = 0x80;
    public const ulong TF = 0x100;
    public const ulong IF = 0x200;
    public const ulong DF = 0x400;
    public const ulong OF = 0x800;
    public const ulong Iopl = 0x3000;
    public const ulong NT = 0x4000;
    public const ulong RF = 0x10000;
    public const ulong VM = 0x20000;
    public const ulong AC = 0x40000;
    public const ulong VIF = 0x80000;
    public const ulong VIP = 0x100000;
    public const ulong ID = 0x200000;

    /// <summary>OF SF ZF AF PF CF.</summary>
    public const ulong Arithmetic = CF | PF | AF | ZF | SF | OF;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LazyFlags* Lazy(VpState* s) => (LazyFlags*)s->EnginePrivate;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Carry(VpState* s) => (long)Lazy(s)->Carries < 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Zero(VpState* s) => Lazy(s)->Result == 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Sign(VpState* s) => (long)(Lazy(s)->Result ^ Lazy(s)->Delta) < 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Overflow(VpState* s) => (long)(Lazy(s)->Carries ^ (Lazy(s)->Carries << 1)) < 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Parity(VpState* s) =>
        (BitOperations.PopCount((uint)(byte)(Lazy(s)->Result ^ Lazy(s)->Delta)) & 1) == 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Adjust(VpState* s) => (Lazy(s)->Carries & 8) != 0;

    /// <summary>SF != OF: the signed "less".</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Less(VpState* s)
    {
        LazyFlags* lazy = Lazy(s);
        return (long)(lazy->Result ^ lazy->Delta ^ lazy->Carries ^ (lazy->Carries << 1)) < 0;
    }

    /// <summary>The six arithmetic flags as RFLAGS bits.</summary>
    public static ulong ReadArithmetic(VpState* s) =>
        (Carry(s) ? CF : 0) | (Parity(s) ? PF : 0) | (Adjust(s) ? AF : 0)
        | (Zero(s) ? ZF : 0) | (Sign(s) ? SF : 0) | (Overflow(s) ? OF : 0);

    /// <summary>All of RFLAGS, bit 1 set.</summary>
    public static ulong Read(VpState* s) => (s->RFlags & ~Arithmetic) | ReadArithmetic(s) | 2;

    /// <summary>Replaces all of RFLAGS.</summary>
    public static void Write(VpState* s, ulong rflags)
    {
        s->RFlags = (rflags & ~0x28UL) | 2;
        WriteArithmetic(s, rflags);
    }

    /// <summary>Replaces OF SF ZF AF PF CF; other bits are ignored.</summary>
    public static void WriteArithmetic(VpState* s, ulong bits)
    {
        LazyFlags* lazy = Lazy(s);
        ulong result = (bits & ZF) != 0 ? 0UL : 1UL;
        lazy->Result = result;
        lazy->Delta = ((bits & SF) << 56) | (result ^ ((bits & PF) != 0 ? 0UL : 1UL));
        lazy->Carries = Pack((bits & CF) != 0, (bits & OF) != 0) | ((bits & AF) >> 1);
    }

    /// <summary>Sets SF ZF PF from a sign-extended result; CF, OF as given; AF = 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetResult(VpState* s, ulong signExtended, bool carry, bool overflow)
    {
        LazyFlags* lazy = Lazy(s);
        lazy->Result = signExtended;
        lazy->Delta = 0;
        lazy->Carries = Pack(carry, overflow);
    }

    /// <summary>Changes CF and OF only.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetCarryOverflow(VpState* s, bool carry, bool overflow)
    {
        LazyFlags* lazy = Lazy(s);
        lazy->Carries = (lazy->Carries & 8) | Pack(carry, overflow);
    }

    /// <summary>Changes CF only.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetCarry(VpState* s, bool carry) => SetCarryOverflow(s, carry, Overflow(s));

    /// <summary>Changes ZF only.</summary>
    public static void SetZero(VpState* s, bool zero) =>
        WriteArithmetic(s, (ReadArithmetic(s) & ~ZF) | (zero ? ZF : 0));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Pack(bool carry, bool overflow)
    {
        ulong c = carry ? 1UL : 0UL;
        ulong o = overflow ? 1UL : 0UL;
        return (c << 63) | ((c ^ o) << 62);
    }
}
