// The synthetic MSRs 0x40000000 to 0x400001FF of one VP (TLFS, appendix "Synthetic MSRs"). What CPUID leaf 0x40000003
// does not offer raises #GP.
using System.Text;
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed class SyntheticMsr
{
    public const uint First = 0x4000_0000;
    public const uint Last = 0x4000_01FF;
    private const uint GuestOsId = 0x4000_0000;
    private const uint Hypercall = 0x4000_0001;
    private const uint VpIndex = 0x4000_0002;
    private const uint ResetRegister = 0x4000_0003;
    private const uint VpRuntime = 0x4000_0010;
    private const uint TimeRefCount = 0x4000_0020;
    private const uint ReferenceTscPage = 0x4000_0021;
    private const uint TscFrequency = 0x4000_0022;
    private const uint ApicFrequency = 0x4000_0023;
    private const uint Eoi = 0x4000_0070;
    private const uint Icr = 0x4000_0071;
    private const uint Tpr = 0x4000_0072;
    private const uint VpAssistPage = 0x4000_0073;
    private const uint SControl = 0x4000_0080;
    private const uint SVersion = 0x4000_0081;
    private const uint Siefp = 0x4000_0082;
    private const uint Simp = 0x4000_0083;
    private const uint Eom = 0x4000_0084;
    private const uint Sint0 = 0x4000_0090;
    private const uint Sint15 = 0x4000_009F;
    private const uint Stimer0Config = 0x4000_00B0;
    private const uint Stimer3Count = 0x4000_00B7;
    private const uint GuestIdle = 0x4000_00F0;
    private const uint CrashP0 = 0x4000_0100;
    private const uint CrashP4 = 0x4000_0104;
    private const uint CrashCtl = 0x4000_0105;
    private const ulong CrashNotify = 1UL << 63;
    private const ulong CrashMessage = 1UL << 62;
    private const int MaxCrashMessageBytes = 4096;

    private readonly VirtualProcessor _processor;
    private readonly Partition _partition;
    private readonly PartitionRegisters _shared;
    private readonly bool _directTimers;
    private readonly Synic _synic;
    private readonly OverlaySlot _assistPage;
    private ulong _vpAssist;

    public SyntheticMsr(VirtualProcessor processor, Partition partition, Synic synic)
    {
        _processor = processor;
        _partition = partition;
        _shared = partition.Shared;
        _directTimers = partition.Options.DirectTimers;
        _synic = synic;
        _assistPage = new OverlaySlot(partition.Memory, writable: true);
    }

    /// <returns>False: #GP.</returns>
    public bool TryRead(uint msr, out ulong value)
    {
        value = 0;
        switch (msr)
        {
            case GuestOsId:
                value = _shared.GuestOsId;
                return true;
            case Hypercall:
                value = _shared.Hypercall;
                return true;
            case VpIndex:
                value = (uint)_processor.Index;
                return true;
            case ResetRegister:
            case Eom:
                return true;
            case VpRuntime:
                value = _processor.RuntimeTicks100ns;
                return true;
            case TimeRefCount:
                value = _shared.ReferenceTime;
                return true;
            case ReferenceTscPage:
                value = _shared.ReferenceTscRegister;
                return true;
            case TscFrequency:
                value = IPartitionClock.TscHz;
                return true;
            case ApicFrequency:
                value = LocalApic.BusHz;
                return true;
            case Icr:
                value = _processor.Apic.Icr;
                return true;
            case Tpr:
                value = _processor.Apic.Tpr;
                return true;
            case VpAssistPage:
                value = _vpAssist;
                return true;
            case SControl:
                value = _synic.Control;
                return true;
            case SVersion:
                value = 1;
                return true;
            case Siefp:
                value = _synic.EventPage;
                return true;
            case Simp:
                value = _synic.MessagePage;
                return true;
            case >= Sint0 and <= Sint15:
                value = _synic.GetSint((int)(msr - Sint0));
                return true;
            case >= Stimer0Config and <= Stimer3Count:
                SyntheticTimer timer = _synic.Timers[(msr - Stimer0Config) >> 1];
                value = (msr & 1) == 0 ? timer.Config : timer.CountValue;
                return true;
            case GuestIdle:
                // TLFS "Virtual Processor Idle Sleep State": the read returns when an interrupt is pending.
                _processor.RequestIdle();
                return true;
            case >= CrashP0 and <= CrashP4:
                value = _shared.CrashParameter((int)(msr - CrashP0));
                return true;
            case CrashCtl:
                value = CrashNotify | CrashMessage;
                return true;
            default:
                return false;
        }
    }

    /// <returns>False: #GP.</returns>
    public bool TryWrite(uint msr, ulong value)
    {
        switch (msr)
        {
            case GuestOsId:
                _shared.GuestOsId = value;
                return true;
            case Hypercall:
                return _shared.TrySetHypercall(value);
            case ResetRegister:
                if ((value & 1) != 0)
                {
                    _partition.Reset();
                }

                return true;
            case ReferenceTscPage:
                _shared.SetReferenceTsc(value);
                return true;
            case Eoi:
                _processor.Apic.EndOfInterrupt();
                return true;
            case Icr:
                _processor.Apic.WriteIcr(value);
                return true;
            case Tpr:
                _processor.Apic.Tpr = (byte)value;
                return value <= 0xFF;
            case VpAssistPage:
                _vpAssist = value;
                _assistPage.Update((value & 1) != 0, value >> GuestMemory.PageShift);
                return true;
            case SControl:
                _synic.Control = value;
                return true;
            case Siefp:
                _synic.EventPage = value;
                return true;
            case Simp:
                _synic.MessagePage = value;
                return true;
            case Eom:
                _synic.EndOfMessage();
                return true;
            case >= Sint0 and <= Sint15:
                return _synic.TrySetSint((int)(msr - Sint0), value);
            case >= Stimer0Config and <= Stimer3Count:
                return TryWriteTimer(msr, value);
            case >= CrashP0 and <= CrashP4:
                _shared.SetCrashParameter((int)(msr - CrashP0), value);
                return true;
            case CrashCtl:
                WriteCrashControl(value);
                return true;
            default:
                return false;
        }
    }

    public void Reset()
    {
        _vpAssist = 0;
        _assistPage.Update(false, 0);
        _assistPage.Page.Bytes.Clear();
    }

    private bool TryWriteTimer(uint msr, ulong value)
    {
        SyntheticTimer timer = _synic.Timers[(msr - Stimer0Config) >> 1];
        if ((msr & 1) != 0)
        {
            timer.CountValue = value;
            return true;
        }

        if ((value & SyntheticTimer.Direct) != 0 && !_directTimers)
        {
            return false;
        }

        timer.Config = value;
        return true;
    }

    private void WriteCrashControl(ulong value)
    {
        if ((value & CrashNotify) == 0)
        {
            return;
        }

        ulong[] parameters = _shared.CrashParameters();
        string? message = null;
        if ((value & CrashMessage) != 0)
        {
            // arch/x86/kernel/cpu/mshyperv.c, hyperv_report_panic_msg: P3 is the address, P4 the length in bytes.
            Span<byte> text = stackalloc byte[MaxCrashMessageBytes];
            text = text[..(int)Math.Min(parameters[4], MaxCrashMessageBytes)];
            message = _partition.Memory.TryRead(parameters[3], text) ? Encoding.UTF8.GetString(text).TrimEnd('\0') : null;
        }

        _partition.ReportExit(
            new PartitionExit(PartitionExitReason.GuestCrash, _processor.Index, CrashParameters: parameters, Message: message),
            freeze: false);
    }
}
