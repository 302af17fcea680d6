// What every legacy-SSE instruction does around its arithmetic: availability, operands, alignment.
// Intel SDM Vol. 2A 2.4 "SSE exception classes 1-9", Vol. 3A 14.1 (CR0.EM, CR0.TS, CR4.OSFXSR).
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter.Fp.Sse;

internal static unsafe class SseAccess
{
    public const ulong Cr0Em = 1UL << 2;
    public const ulong Cr0Ts = 1UL << 3;
    public const ulong Cr4OsFxsr = 1UL << 9;

    /// <summary>True when an SSE instruction must fault: see <see cref="Refuse"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Unavailable(VpState* s) => ((s->Cr0 & (Cr0Em | Cr0Ts)) | (~s->Cr4 & Cr4OsFxsr)) != 0;

    /// <summary>#UD for EM or no OSFXSR, else #NM for TS.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Op* Refuse(VpState* s, Op* op)
        => (s->Cr0 & Cr0Em) != 0 || (s->Cr4 & Cr4OsFxsr) == 0
            ? Faults.UndefinedOpcode(s, op)
            : Faults.Raise(s, op, FpVector.DeviceNotAvailable);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte>* Xmm(VpState* s, int number) => (Vector128<byte>*)(s->Vector + (number * 32));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsMemory(Op* op) => (op->Flags & OpFlags.Memory) != 0;

    /// <summary>The register of an instruction whose first operand is r/m: the stored one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int StoredRegister(Op* op) => IsMemory(op) ? op->Dst : op->Src;

    /// <summary>A 16-byte source that must be aligned when in memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Source(VpState* s, Op* op, out Vector128<byte> value)
    {
        if (!IsMemory(op))
        {
            value = *Xmm(s, op->Src);
            return true;
        }

        return LoadAligned(s, op, out value);
    }

    public static bool LoadAligned(VpState* s, Op* op, out Vector128<byte> value)
    {
        if (!Operand.Address(s, op, out ulong linear, 16, write: false))
        {
            value = default;
            return false;
        }

        if ((linear & 15) != 0)
        {
            Faults.GeneralProtection(s, op);
            value = default;
            return false;
        }

        return GuestAccess.Load(s, linear, out value);
    }

    /// <summary>A source of sizeof(T) bytes, zero-extended when in memory, the whole register otherwise.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool SourceScalar<T>(VpState* s, Op* op, out Vector128<byte> value)
        where T : unmanaged
    {
        if (!IsMemory(op))
        {
            value = *Xmm(s, op->Src);
            return true;
        }

        if (!Load(s, op, out T loaded))
        {
            value = default;
            return false;
        }

        value = Vector128.CreateScalar(loaded).AsByte();
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Load<T>(VpState* s, Op* op, out T value)
        where T : unmanaged
    {
        if (!Operand.Address(s, op, out ulong linear, (uint)sizeof(T), write: false))
        {
            value = default;
            return false;
        }

        return GuestAccess.Load(s, linear, out value);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Store<T>(VpState* s, Op* op, T value)
        where T : unmanaged
        => Operand.Address(s, op, out ulong linear, (uint)sizeof(T), write: true) && GuestAccess.Store(s, linear, value);

    public static bool StoreAligned(VpState* s, Op* op, Vector128<byte> value)
    {
        if (!Operand.Address(s, op, out ulong linear, 16, write: true))
        {
            return false;
        }

        if ((linear & 15) != 0)
        {
            Faults.GeneralProtection(s, op);
            return false;
        }

        return GuestAccess.Store(s, linear, value);
    }

    /// <summary>A general-register or memory source of 32 or 64 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool SourceGpr<T>(VpState* s, Op* op, out T value)
        where T : unmanaged
    {
        if (IsMemory(op))
        {
            return Load(s, op, out value);
        }

        value = *(T*)(s->Gpr + op->Src);
        return true;
    }
}
