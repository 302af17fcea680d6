// Register access to the local APIC: the xAPIC page, the x2APIC MSRs and IA32_APIC_BASE
// (Intel SDM Vol. 3A, 11.4.1, 11.12 and table 11-1).
namespace Sharpvisor.Hypervisor;

internal sealed partial class LocalApic
{
    private const int LvtTimer = 0;
    private const int LvtPerformance = 2;
    private const int LvtLint0 = 3;
    private const int LvtLint1 = 4;
    private const int LvtError = 5;

    /// <summary>Version 0x14 with six LVT entries and EOI broadcast suppression: the IOAPIC has an EOI register.</summary>
    private const uint Version = 0x0105_0014;

    private const int RegId = 0x20;
    private const int RegVersion = 0x30;
    private const int RegTpr = 0x80;
    private const int RegApr = 0x90;
    private const int RegPpr = 0xA0;
    private const int RegEoi = 0xB0;
    private const int RegLdr = 0xD0;
    private const int RegDfr = 0xE0;
    private const int RegSvr = 0xF0;
    private const int RegIsr = 0x100;
    private const int RegTmr = 0x180;
    private const int RegIrr = 0x200;
    private const int RegEsr = 0x280;
    private const int RegIcrLow = 0x300;
    private const int RegIcrHigh = 0x310;
    private const int RegLvt = 0x320;
    private const int RegInitialCount = 0x380;
    private const int RegCurrentCount = 0x390;
    private const int RegDivide = 0x3E0;
    private const int RegSelfIpi = 0x3F0;

    /// <summary>IA32_APIC_BASE.</summary>
    public ulong Base => _apicBase;

    /// <returns>False: #GP (reserved bits, or an illegal transition of Intel SDM Vol. 3A, figure 11-27).</returns>
    public bool TrySetBase(ulong value, int physicalAddressBits)
    {
        ulong reserved = (0xFFUL | (1 << 9) | (~0UL << physicalAddressBits));
        ulong mode = value & (BaseEnable | BaseX2);
        ulong oldMode = _apicBase & (BaseEnable | BaseX2);
        if ((value & reserved) != 0 || mode == BaseX2)
        {
            return false;
        }

        bool leavesX2 = oldMode == (BaseEnable | BaseX2) && mode == BaseEnable;
        bool skipsXapic = oldMode == 0 && mode == (BaseEnable | BaseX2);
        if (leavesX2 || skipsXapic)
        {
            return false;
        }

        Volatile.Write(ref _apicBase, value);
        if (mode != oldMode)
        {
            if (mode == 0)
            {
                ResetRegisters();
            }
            else if (mode == (BaseEnable | BaseX2))
            {
                _id = (uint)Index;
                _ldr = X2LogicalId;
                _icr = 0;
            }

            NotifyIfDeliverable();
        }

        return true;
    }

    /// <summary>A read of the xAPIC page.</summary>
    public ulong ReadMmio(uint offset, int bytes)
    {
        int register = (int)(offset & 0xFF0);
        if ((offset & 0xF) + bytes > 4 || !TryReadRegister(register, out uint value))
        {
            return 0;
        }

        uint shifted = value >> (int)((offset & 3) * 8);
        return bytes >= 4 ? shifted : shifted & ((1u << (bytes * 8)) - 1);
    }

    /// <summary>A write to the xAPIC page; only aligned 32-bit writes mean anything.</summary>
    public void WriteMmio(uint offset, int bytes, ulong value)
    {
        if ((offset & 0xF) != 0 || bytes < 4)
        {
            return;
        }

        uint low = (uint)value;
        switch ((int)offset)
        {
            case RegId:
                Volatile.Write(ref _id, low >> 24);
                break;
            case RegLdr:
                Volatile.Write(ref _ldr, low & 0xFF00_0000);
                break;
            case RegDfr:
                Volatile.Write(ref _dfr, low | 0x0FFF_FFFF);
                break;
            case RegEsr:
                LatchErrors();
                break;
            case RegIcrHigh:
                _icr = (_icr & 0xFFFF_FFFF) | ((ulong)(low & 0xFF00_0000) << 32);
                break;
            case RegIcrLow:
                WriteIcr((_icr & ~0xFFFF_FFFFUL) | low);
                break;
            default:
                WriteCommon((int)offset, low);
                break;
        }
    }

    /// <summary>An RDMSR of 0x800 to 0x8FF. False: #GP.</summary>
    public bool TryReadMsr(uint msr, out ulong value)
    {
        value = 0;
        int register = (int)(msr - 0x800) << 4;
        if (!IsX2 || register is RegEoi or RegDfr or RegIcrHigh or RegSelfIpi or RegApr)
        {
            return false;
        }

        if (register == RegIcrLow)
        {
            value = _icr;
            return true;
        }

        bool exists = TryReadRegister(register, out uint low);
        value = low;
        return exists;
    }

    /// <summary>A WRMSR to 0x800 to 0x8FF. False: #GP.</summary>
    public bool TryWriteMsr(uint msr, ulong value)
    {
        int register = (int)(msr - 0x800) << 4;
        if (!IsX2 || (register != RegIcrLow && value >> 32 != 0))
        {
            return false;
        }

        switch (register)
        {
            case RegEoi:
            case RegEsr:
                if (value != 0)
                {
                    return false;
                }

                break;
            case RegIcrLow:
                if ((value & 0xFFF3_2000) != 0)
                {
                    return false;
                }

                WriteIcr(value);
                return true;
            case RegSelfIpi:
                if (value > 0xFF)
                {
                    return false;
                }

                SendIpi(new ApicMessage((byte)value, DeliveryMode.Fixed, false, false, 0, true, Shorthand.Self));
                return true;
            default:
                break;
        }

        if (register == RegEsr)
        {
            LatchErrors();
            return true;
        }

        return (value & ReservedBits(register)) == 0 && WriteCommon(register, (uint)value);
    }

    /// <summary>The ICR as HV_X64_MSR_ICR shows it: xAPIC layout in xAPIC mode.</summary>
    public ulong Icr => _icr;

    /// <summary>Writes the whole ICR: destination and command in one access.</summary>
    public void WriteIcr(ulong value)
    {
        // Delivery status (bit 12) reads idle.
        _icr = value & ~(1UL << 12);
        bool wide = IsX2;
        uint low = (uint)value;
        var mode = (DeliveryMode)((low >> 8) & 7);
        bool level = (low & 0x8000) != 0;
        if (mode == DeliveryMode.Init && level && (low & 0x4000) == 0)
        {
            // INIT level de-assert: arbitration ids only, and ignored since the Pentium 4.
            return;
        }

        uint destination = wide ? (uint)(value >> 32) : (uint)(value >> 56);
        var shorthand = (Shorthand)((low >> 18) & 3);

        // IPIs are edge-triggered (Intel SDM Vol. 3A, 11.6.1: the trigger mode matters for INIT de-assert only).
        SendIpi(new ApicMessage((byte)low, mode, false, (low & 0x800) != 0, destination, wide, shorthand));
    }

    private static uint ReservedBits(int register) => register switch
    {
        RegTpr => 0xFFFF_FF00,
        RegSvr => 0xFFFF_EC00,
        RegDivide => 0xFFFF_FFF4,
        RegLvt => 0xFFF8_EF00,
        RegLvt + (LvtLint0 << 4) or RegLvt + (LvtLint1 << 4) => 0xFFFE_0800,
        RegLvt + (LvtError << 4) => 0xFFFE_EF00,
        RegLvt + (LvtPerformance << 4) or RegLvt + 0x10 => 0xFFFE_E800,
        _ => 0,
    };

    private void SendIpi(in ApicMessage message)
    {
        if (message.Vector < 16 && message.Mode is DeliveryMode.Fixed or DeliveryMode.LowestPriority)
        {
            RecordError(EsrSendIllegal);
            return;
        }

        _bus.Deliver(message, this);
    }

    private void LatchErrors() => _esr = Interlocked.Exchange(ref _esrPending, 0);

    private bool TryReadRegister(int register, out uint value)
    {
        value = 0;
        switch (register)
        {
            case RegId:
                value = IsX2 ? _id : _id << 24;
                return true;
            case RegVersion:
                value = Version;
                return true;
            case RegTpr:
                value = _tpr;
                return true;
            case RegApr:
            case RegEoi:
                return true;
            case RegPpr:
                value = ProcessorPriority;
                return true;
            case RegLdr:
                value = _ldr;
                return true;
            case RegDfr:
                value = _dfr;
                return true;
            case RegSvr:
                value = _svr;
                return true;
            case RegEsr:
                value = _esr;
                return true;
            case RegIcrLow:
                value = (uint)_icr;
                return true;
            case RegIcrHigh:
                value = (uint)(_icr >> 32);
                return true;
            case RegInitialCount:
                value = InitialCount;
                return true;
            case RegCurrentCount:
                value = CurrentCount();
                return true;
            case RegDivide:
                value = _divide;
                return true;
            case >= RegIsr and < RegTmr:
                value = Volatile.Read(ref _isr[(register - RegIsr) >> 4]);
                return true;
            case >= RegTmr and < RegIrr:
                value = Volatile.Read(ref _tmr[(register - RegTmr) >> 4]);
                return true;
            case >= RegIrr and < RegEsr:
                value = Volatile.Read(ref _irr[(register - RegIrr) >> 4]);
                return true;
            case >= RegLvt and <= RegLvt + (LvtError << 4):
                value = _lvt[(register - RegLvt) >> 4];
                return true;
            default:
                return false;
        }
    }

    /// <summary>Registers that both access methods write alike. False: read-only or absent.</summary>
    private bool WriteCommon(int register, uint value)
    {
        switch (register)
        {
            case RegTpr:
                Tpr = (byte)value;
                return true;
            case RegEoi:
                EndOfInterrupt();
                return true;
            case RegSvr:
                WriteSvr(value);
                return true;
            case RegInitialCount:
                WriteInitialCount(value);
                return true;
            case RegDivide:
                WriteDivide(value & 0xB);
                return true;
            case >= RegLvt and <= RegLvt + (LvtError << 4):
                WriteLvt((register - RegLvt) >> 4, value);
                return true;
            default:
                return false;
        }
    }

    private void WriteSvr(uint value)
    {
        // Bit 9 is focus checking, bit 12 EOI broadcast suppression.
        Volatile.Write(ref _svr, value & 0x13FF);
        if ((value & 0x100) == 0)
        {
            for (int i = 0; i < _lvt.Length; i++)
            {
                Volatile.Write(ref _lvt[i], _lvt[i] | LvtMasked);
            }
        }
    }

    private void WriteLvt(int index, uint value)
    {
        value &= ~ReservedBits(RegLvt + (index << 4)) & ~(1u << 12) & ~(1u << 14);
        if ((_svr & 0x100) == 0)
        {
            value |= LvtMasked;
        }

        if (index == LvtTimer)
        {
            WriteLvtTimer(value);
            return;
        }

        Volatile.Write(ref _lvt[index], value);
        if (index == LvtLint0)
        {
            NotifyIfDeliverable();
        }
    }
}
