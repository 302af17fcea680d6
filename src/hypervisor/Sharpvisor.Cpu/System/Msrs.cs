// The model-specific registers this CPU holds: Intel SDM Vol. 4, table 2-2. The rest (APIC, TSC deadline, Hyper-V's) is the
// hypervisor's.
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.System;

internal static unsafe class Msrs
{
    private const uint Tsc = 0x10;
    private const uint PlatformId = 0x17;
    private const uint EblCrPowerOn = 0x2A;
    private const uint SmiCount = 0x34;
    private const uint FeatureControl = 0x3A;
    private const uint TscAdjust = 0x3B;
    private const uint UcodeRevision = 0x8B;
    private const uint UcodeWrite = 0x79;
    private const uint PlatformInfo = 0xCE;
    private const uint MtrrCap = 0xFE;
    private const uint ArchCapabilities = 0x10A;
    private const uint SysenterCs = 0x174;
    private const uint SysenterEsp = 0x175;
    private const uint SysenterEip = 0x176;
    private const uint McgCap = 0x179;
    private const uint McgStatus = 0x17A;
    private const uint MiscEnable = 0x1A0;
    private const uint DebugCtl = 0x1D9;
    private const uint MtrrVariableFirst = 0x200;
    private const uint MtrrVariableLast = 0x20F;
    private const uint Pat = 0x277;
    private const uint MtrrDefType = 0x2FF;
    private const uint Xss = 0xDA0;
    private const uint EferMsr = 0xC000_0080;
    private const uint Star = 0xC000_0081;
    private const uint Lstar = 0xC000_0082;
    private const uint Cstar = 0xC000_0083;
    private const uint Sfmask = 0xC000_0084;
    private const uint FsBase = 0xC000_0100;
    private const uint GsBase = 0xC000_0101;
    private const uint KernelGsBase = 0xC000_0102;
    private const uint TscAux = 0xC000_0103;

    /// <summary>Eight variable ranges, fixed ranges, write combining.</summary>
    private const ulong MtrrCapValue = 0x508;

    public static ulong ReadTsc(VpState* s) => Vp.Of(s).Intercepts.ReadTsc() + s->TscOffset;

    /// <summary>False: #GP(0).</summary>
    public static bool TryRead(VpState* s, uint msr, out ulong value)
    {
        ulong* register = Plain(s, msr);
        if (register != null)
        {
            value = *register;
            return true;
        }

        switch (msr)
        {
            case Tsc:
                value = ReadTsc(s);
                return true;
            case PlatformId or EblCrPowerOn or SmiCount or McgCap or McgStatus:
            case PlatformInfo:
                value = 0;
                return true;
            case FeatureControl:
                // Locked, with nothing enabled: there is no VMX.
                value = 1;
                return true;
            case UcodeRevision:
                value = 0x1_0000_0000;
                return true;
            case MtrrCap:
                value = MtrrCapValue;
                return true;
            case ArchCapabilities:
                value = CpuModel.ArchCapabilities;
                return true;
            default:
                return Vp.Of(s).Intercepts.TryReadMsr(msr, out value);
        }
    }

    /// <inheritdoc cref="TryRead"/>
    public static bool TryWrite(VpState* s, uint msr, ulong value)
    {
        switch (msr)
        {
            case EferMsr:
                return WriteEfer(s, value);
            case Tsc:
                SetOffset(s, value - ReadTsc(s));
                return true;
            case TscAdjust:
                SetOffset(s, value - s->TscAdjust);
                return true;
            case Lstar or Cstar or FsBase or GsBase or KernelGsBase or SysenterEsp or SysenterEip:
                if (!Segments.IsCanonical(value))
                {
                    return false;
                }

                break;
            case TscAux or Sfmask or SysenterCs:
                if (value > uint.MaxValue)
                {
                    return false;
                }

                break;
            case Pat:
                if (!ValidPat(value))
                {
                    return false;
                }

                break;
            case MtrrDefType:
                if ((value & ~0xCFFUL) != 0 || !ValidType((byte)value, pat: false))
                {
                    return false;
                }

                break;
            case >= MtrrVariableFirst and <= MtrrVariableLast:
                if (!ValidVariable(msr, value))
                {
                    return false;
                }

                break;
            case DebugCtl:
                // BTF and LBR only; neither has an effect.
                if ((value & ~3UL) != 0)
                {
                    return false;
                }

                break;
            case Xss:
                if (value != 0)
                {
                    return false;
                }

                break;
            case UcodeRevision or UcodeWrite or McgStatus or EblCrPowerOn:
                return true;
            case PlatformId or SmiCount or McgCap or MtrrCap or ArchCapabilities or PlatformInfo or FeatureControl:
                return false;
            default:
                break;
        }

        ulong* register = Plain(s, msr);
        if (register == null)
        {
            return Vp.Of(s).Intercepts.TryWriteMsr(msr, value);
        }

        *register = value;
        return true;
    }

    /// <summary>MSRs that are just a field; the write checks are above.</summary>
    private static ulong* Plain(VpState* s, uint msr)
    {
        switch (msr)
        {
            case TscAdjust:
                return &s->TscAdjust;
            case SysenterCs:
                return &s->SysenterCs;
            case SysenterEsp:
                return &s->SysenterEsp;
            case SysenterEip:
                return &s->SysenterEip;
            case MiscEnable:
                return &s->MiscEnable;
            case DebugCtl:
                return &s->DebugCtl;
            case >= MtrrVariableFirst and <= MtrrVariableLast:
                return &s->MtrrVariable[msr - MtrrVariableFirst];
            case 0x250:
                return &s->MtrrFixed[0];
            case 0x258 or 0x259:
                return &s->MtrrFixed[1 + (msr - 0x258)];
            case >= 0x268 and <= 0x26F:
                return &s->MtrrFixed[3 + (msr - 0x268)];
            case Pat:
                return &s->Pat;
            case MtrrDefType:
                return &s->MtrrDefType;
            case Xss:
                return &s->Xss;
            case EferMsr:
                return &s->Efer;
            case Star:
                return &s->Star;
            case Lstar:
                return &s->Lstar;
            case Cstar:
                return &s->Cstar;
            case Sfmask:
                return &s->Sfmask;
            case FsBase:
                return &VpState.Seg(s, Segment.Fs)->Base;
            case GsBase:
                return &VpState.Seg(s, Segment.Gs)->Base;
            case KernelGsBase:
                return &s->KernelGsBase;
            case TscAux:
                return &s->TscAux;
            default:
                return null;
        }
    }

    private static bool WriteEfer(VpState* s, ulong value)
    {
        ulong old = s->Efer;
        if ((value & ~(Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE)) != 0
            || (((old ^ value) & Efer.LME) != 0 && (s->Cr0 & Cr0.PG) != 0))
        {
            return false;
        }

        // LMA is read-only: what is written there is ignored.
        s->Efer = (value & ~Efer.LMA) | (old & Efer.LMA);
        Vp vp = Vp.Of(s);
        if (((old ^ value) & Efer.NXE) != 0)
        {
            vp.Mmu.FlushAll();
        }

        vp.ModeChanged();
        return true;
    }

    // Intel SDM Vol. 3B, 17.17.3: a write to either register moves the TSC and the adjustment alike.
    private static void SetOffset(VpState* s, ulong delta)
    {
        s->TscOffset += delta;
        s->TscAdjust += delta;
    }

    private static bool ValidPat(ulong value)
    {
        for (int i = 0; i < 8; i++)
        {
            if (!ValidType((byte)(value >> (i * 8)), pat: true))
            {
                return false;
            }
        }

        return true;
    }

    private static bool ValidType(byte type, bool pat) => type is 0 or 1 or 4 or 5 or 6 || (pat && type == 7);

    private static bool ValidVariable(uint msr, ulong value)
    {
        bool mask = (msr & 1) != 0;
        ulong reserved = mask ? 0x7FFUL : 0xF00UL;
        return value >> CpuModel.PhysicalAddressBits == 0 && (value & reserved) == 0
            && (mask || ValidType((byte)value, pat: false));
    }
}
