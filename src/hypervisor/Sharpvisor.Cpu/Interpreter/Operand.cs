// Effective and linear addresses (Intel SDM Vol. 1, 3.7.5; segment checks: Vol. 3A, 5.3 to 5.5) and register operands.
using System.Runtime.CompilerServices;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter;

/// <summary>Operand access shared by all handlers.</summary>
internal static unsafe class Operand
{
    private const byte GpVector = 13;
    private const byte SsVector = 12;

    /// <summary>Linear address of the op's memory operand. False: a fault was raised, the handler must return null.</summary>
    /// <param name="bytes">Size of the access, for limit checks.</param>
    /// <param name="write">Whether the segment must be writable.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Address(VpState* s, Op* op, out ulong linear, uint bytes, bool write)
    {
        if ((op->Flags & OpFlags.Flat) != 0)
        {
            // A non-canonical address cannot hit the TLB; the MMU's slow path raises #GP.
            linear = s->Gpr[op->Base] + (s->Gpr[op->Index] << op->Scale) + (ulong)op->Displacement;
            return true;
        }

        return AddressSlow(s, op, out linear, bytes, write);
    }

    /// <summary>Effective address (offset in the segment), wrapped to the address size: LEA, string and stack forms.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Effective(VpState* s, Op* op)
    {
        ulong offset = s->Gpr[op->Base] + (s->Gpr[op->Index] << op->Scale) + (ulong)op->Displacement;
        return op->AddressBytes == 8 ? offset : op->AddressBytes == 4 ? (uint)offset : (ushort)offset;
    }

    /// <summary>Linear address of an offset in a segment, all checks done. False: a fault was raised.</summary>
    public static bool Linear(VpState* s, Op* op, Segment segment, ulong offset, uint bytes, bool write, out ulong linear)
    {
        SegmentRegister* register = VpState.Seg(s, segment);
        if ((op->Flags & OpFlags.Long) != 0)
        {
            // Intel SDM Vol. 3A, 3.4.4: only FS and GS have a base in 64-bit mode, and no segment has a limit.
            linear = segment >= Segment.Fs ? register->Base + offset : offset;
            if ((linear + 0x8000_0000_0000UL) >> 48 == 0 && (linear + bytes - 1 + 0x8000_0000_0000UL) >> 48 == 0)
            {
                return true;
            }
        }
        else
        {
            linear = (uint)(register->Base + offset);
            if (LegacyAccessAllowed(register, (uint)offset, bytes, write))
            {
                return true;
            }
        }

        _ = Faults.Raise(s, op, segment == Segment.Ss ? SsVector : GpVector, 0);
        return false;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ref ulong Reg64(VpState* s, int register) => ref s->Gpr[register];

    /// <summary>An 8-bit register; <paramref name="high"/>: AH, CH, DH, BH numbered 4..7.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte Read8(VpState* s, int register, bool high) => *Reg8(s, register, high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write8(VpState* s, int register, bool high, byte value) => *Reg8(s, register, high) = value;

    /// <summary>The byte of VP state that an 8-bit register name means.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Reg8(VpState* s, int register, bool high) =>
        high ? (byte*)(s->Gpr + register - 4) + 1 : (byte*)(s->Gpr + register);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void WriteReg16(VpState* s, int register, ushort value) => *(ushort*)(s->Gpr + register) = value;

    /// <summary>Writes a 32-bit register; the upper half becomes zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void WriteReg32(VpState* s, int register, uint value) => s->Gpr[register] = value;

    /// <summary>Reads a general register as byte (low), ushort, uint or ulong.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T ReadReg<T>(VpState* s, int register)
        where T : unmanaged => *(T*)(s->Gpr + register);

    /// <summary>Writes a general register as byte (low), ushort, uint (zero-extended) or ulong.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void WriteReg<T>(VpState* s, int register, T value)
        where T : unmanaged
    {
        if (sizeof(T) == 4)
        {
            s->Gpr[register] = Unsafe.BitCast<T, uint>(value);
        }
        else
        {
            *(T*)(s->Gpr + register) = value;
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool AddressSlow(VpState* s, Op* op, out ulong linear, uint bytes, bool write) =>
        Linear(s, op, (Segment)op->Segment, Effective(s, op), bytes, write, out linear);

    /// <summary>Segment type and limit checks of legacy modes (Intel SDM Vol. 3A, 5.3 and 5.5).</summary>
    public static bool LegacyAccessAllowed(SegmentRegister* segment, uint offset, uint bytes, bool write)
    {
        uint attributes = segment->Attributes;
        const uint present = 0x80;
        bool isCode = (attributes & 8) != 0;
        bool readableOrWritable = (attributes & 2) != 0;
        if ((attributes & present) == 0
            || (write && (isCode || !readableOrWritable))
            || (!write && isCode && !readableOrWritable))
        {
            return false;
        }

        ulong last = (ulong)offset + bytes - 1;
        if (!isCode && (attributes & 4) != 0)
        {
            // Expand-down: valid offsets are above the limit, up to 64 KiB - 1 or 4 GiB - 1 by the B bit.
            return offset > segment->Limit && last <= ((attributes & 0x400) != 0 ? 0xFFFF_FFFFUL : 0xFFFFUL);
        }

        return last <= segment->Limit;
    }
}
