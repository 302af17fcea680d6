// The operations behind Alu<,>: result, and the carry out of every bit (see LazyFlags).
using System.Runtime.CompilerServices;

namespace Sharpvisor.Cpu.Interpreter;

internal static unsafe class AluFlags
{
    /// <summary>Stores SF ZF PF from the result and CF OF AF from the carries out of each bit.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set<T>(LazyFlags* f, ulong result, ulong carries)
        where T : unmanaged
    {
        f->Result = Sized<T>.Sx(result);
        f->Delta = 0;
        f->Carries = sizeof(T) == 8 ? carries : (carries << (64 - (sizeof(T) * 8))) | (carries & 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Logic<T>(LazyFlags* f, ulong result)
        where T : unmanaged
    {
        f->Result = Sized<T>.Sx(result);
        f->Delta = 0;
        f->Carries = 0;
    }
}

internal unsafe struct Add : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        ulong r = a + b;
        AluFlags.Set<T>(f, r, (a & b) | ((a | b) & ~r));
        return r;
    }
}

internal unsafe struct Adc : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        ulong r = a + b + (f->Carries >> 63);
        AluFlags.Set<T>(f, r, (a & b) | ((a | b) & ~r));
        return r;
    }
}

internal unsafe struct Sub : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        ulong r = a - b;
        AluFlags.Set<T>(f, r, (~a & b) | (~(a ^ b) & r));
        return r;
    }
}

internal unsafe struct Sbb : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        ulong r = a - b - (f->Carries >> 63);
        AluFlags.Set<T>(f, r, (~a & b) | (~(a ^ b) & r));
        return r;
    }
}

internal unsafe struct Cmp : IAlu
{
    public static bool Writes => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged => Sub.Run<T>(f, a, b);
}

internal unsafe struct And : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        AluFlags.Logic<T>(f, a & b);
        return a & b;
    }
}

internal unsafe struct Test : IAlu
{
    public static bool Writes => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged => And.Run<T>(f, a, b);
}

internal unsafe struct Or : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        AluFlags.Logic<T>(f, a | b);
        return a | b;
    }
}

internal unsafe struct Xor : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        AluFlags.Logic<T>(f, a ^ b);
        return a ^ b;
    }
}

internal unsafe struct Inc : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        ulong carry = f->Carries >> 63;
        ulong r = a + 1;
        bool overflow = Sized<T>.Zx(r) == 1UL << ((sizeof(T) * 8) - 1);
        f->Result = Sized<T>.Sx(r);
        f->Delta = 0;
        f->Carries = (carry << 63) | ((carry ^ (overflow ? 1UL : 0UL)) << 62) | ((r & 15) == 0 ? 8UL : 0UL);
        return r;
    }
}

internal unsafe struct Dec : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        ulong carry = f->Carries >> 63;
        ulong r = a - 1;
        bool overflow = a == 1UL << ((sizeof(T) * 8) - 1);
        f->Result = Sized<T>.Sx(r);
        f->Delta = 0;
        f->Carries = (carry << 63) | ((carry ^ (overflow ? 1UL : 0UL)) << 62) | ((r & 15) == 15 ? 8UL : 0UL);
        return r;
    }
}

internal unsafe struct Neg : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged => Sub.Run<T>(f, 0, a);
}

internal unsafe struct Not : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged => ~a;
}
