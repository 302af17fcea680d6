// The power management function of the PIIX4 (Intel 82371AB datasheet, chapter 7), as ACPI's fixed hardware
// (ACPI 6.4, 4.8). There is no SMM: what Hyper-V's firmware does on an SMI command is done here.
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Pci;

/// <summary>00:07.3, 8086:7113.</summary>
internal sealed class Piix4PowerManagement : PciFunction, IPortDevice, IDisposable
{
    public const ushort DefaultBase = 0x400;
    public const ushort SmiCommandPort = 0xB2;
    public const byte AcpiEnable = 0xE1;
    public const byte AcpiDisable = 0x1E;

    /// <summary>SLP_TYP of \_S5 (7.2.3: soft off).</summary>
    public const byte SleepTypeSoftOff = 0;

    /// <summary>Offsets from the base.</summary>
    public const int Pm1Event = 0x00;
    public const int Pm1Control = 0x04;
    public const int PmTimer = 0x08;
    public const int Gpe0 = 0x0C;

    private const int IoBytes = 0x40;
    private const int PmBase = 0x40;
    private const int PmIoEnable = 0x80;
    private const ushort TimerStatus = 1;
    private const ushort PowerButtonStatus = 0x100;
    private const ushort EnableMask = 0x0521;
    private const ushort SciEnable = 1;
    private const ushort SleepEnable = 0x2000;
    private const ulong PmTimerHz = 3_579_545;
    private const int TimerMsbShift = 31;

    private readonly IDeviceBus _bus;
    private readonly IPartitionClock _clock;
    private readonly IOneShotTimer _timer;
    private readonly IInterruptLine _sci;
    private readonly IPowerControl _power;
    private readonly byte[] _other = new byte[IoBytes];
    private ushort _mappedAt;
    private ushort _status;
    private ushort _enable;
    private ushort _control;
    private ushort _gpeStatus;
    private ushort _gpeEnable;
    private byte _smiCommand;
    private byte _smiStatus;
    private ulong _timerHalfPeriods;

    public Piix4PowerManagement(IDeviceBus bus, ITimerService timers, IInterruptLine sci, IPowerControl power)
        : base(Piix4IsaBridge.Slot, 3, new PciIdentity(0x8086, 0x7113, 0x068000, Revision: 2))
    {
        _bus = bus;
        _clock = timers.Clock;
        _timer = timers.Create(TimerExpired);
        _sci = sci;
        _power = power;
        AllowWrites16(PciConfig.Command, 1);
        Set16(PciConfig.Status, 0x0280);
        Set32(PmBase, 1);
        AllowWrites32(PmBase, 0xFFC0);
        for (int offset = 0x44; offset < 0x100; offset++)
        {
            AllowWrites(offset, 0xFF);
        }

        AllowWrites(PmIoEnable, 1);
        bus.MapPorts(SmiCommandPort, 2, this);
    }

    /// <summary>Presses the power button: an SCI, when the guest has it enabled.</summary>
    /// <returns>False when the guest does not listen.</returns>
    public bool PressPowerButton()
    {
        lock (ConfigLock)
        {
            _status |= PowerButtonStatus;
            UpdateSci();
            return (_control & SciEnable) != 0 && (_enable & PowerButtonStatus) != 0;
        }
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes)
    {
        lock (ConfigLock)
        {
            if (port is SmiCommandPort or (SmiCommandPort + 1))
            {
                return port == SmiCommandPort ? _smiCommand : _smiStatus;
            }

            int offset = port - _mappedAt;
            if ((offset & ~3) == PmTimer)
            {
                return (uint)(TimerTicks() >> (8 * (offset & 3)));
            }

            CollectTimer();
            uint value = 0;
            for (int i = 0; i < bytes; i++)
            {
                value |= (uint)ReadByte(offset + i) << (8 * i);
            }

            return value;
        }
    }

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value)
    {
        bool powerOff = false;
        lock (ConfigLock)
        {
            if (port is SmiCommandPort or (SmiCommandPort + 1))
            {
                WriteSmi(port, (byte)value);
            }
            else
            {
                CollectTimer();
                for (int i = 0; i < bytes; i++)
                {
                    powerOff |= WriteByte(port - _mappedAt + i, (byte)(value >> (8 * i)));
                }
            }

            UpdateSci();
        }

        if (powerOff)
        {
            _power.PowerOff();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _timer.Dispose();

    protected override void ConfigWritten(int offset, int bytes)
    {
        ushort at = (Get8(PmIoEnable) & 1) != 0 ? (ushort)(Get32(PmBase) & 0xFFC0) : (ushort)0;
        if (at == _mappedAt)
        {
            return;
        }

        if (_mappedAt != 0)
        {
            _bus.UnmapPorts(_mappedAt, IoBytes);
        }

        _mappedAt = at;
        if (at != 0)
        {
            _bus.MapPorts(at, IoBytes, this);
        }
    }

    protected override void OnReset()
    {
        _status = _enable = _control = _gpeStatus = _gpeEnable = 0;
        _smiCommand = _smiStatus = 0;
        Array.Clear(_other);
        UpdateSci();
    }

    private byte ReadByte(int offset) => offset switch
    {
        0 or 1 => Part(_status, offset),
        2 or 3 => Part(_enable, offset),
        4 or 5 => Part(_control, offset),
        0x0C or 0x0D => Part(_gpeStatus, offset),
        0x0E or 0x0F => Part(_gpeEnable, offset),
        // P_LVL2, P_LVL3: reading enters C2 or C3, which FADT says do not exist.
        0x14 or 0x15 => 0,
        < IoBytes => _other[offset],
        _ => 0xFF,
    };

    /// <returns>True when the guest switched the machine off.</returns>
    private bool WriteByte(int offset, byte value)
    {
        switch (offset)
        {
            case 0 or 1:
                _status = (ushort)(_status & ~(value << (8 * (offset & 1))));
                break;
            case 2 or 3:
                _enable = (ushort)(WithPart(_enable, offset, value) & EnableMask);
                break;
            case 4 or 5:
                ushort written = WithPart(_control, offset, value);
                // SLP_EN always reads 0.
                _control = (ushort)(written & ~SleepEnable);
                return (written & SleepEnable) != 0 && ((written >> 10) & 7) == SleepTypeSoftOff;
            case 0x0C or 0x0D:
                _gpeStatus = (ushort)(_gpeStatus & ~(value << (8 * (offset & 1))));
                break;
            case 0x0E or 0x0F:
                _gpeEnable = WithPart(_gpeEnable, offset, value);
                break;
            case >= 0x10 and < 0x30 or >= 0x34 and < IoBytes:
                _other[offset] = value;
                break;
            default:
                // The timer and the general purpose inputs are read-only.
                break;
        }

        return false;
    }

    private void WriteSmi(ushort port, byte value)
    {
        if (port != SmiCommandPort)
        {
            _smiStatus = value;
            return;
        }

        _smiCommand = value;
        if (value == AcpiEnable)
        {
            _control |= SciEnable;
        }
        else if (value == AcpiDisable)
        {
            _control = (ushort)(_control & ~SciEnable);
        }
    }

    private ulong TimerTicks() => (ulong)((UInt128)(ulong)_clock.Nanoseconds * PmTimerHz / 1_000_000_000);

    /// <summary>TMR_STS is set whenever the counter's top bit changed (ACPI 6.4, 4.8.2.1).</summary>
    private void CollectTimer()
    {
        ulong halfPeriods = TimerTicks() >> TimerMsbShift;
        if (halfPeriods != _timerHalfPeriods)
        {
            _timerHalfPeriods = halfPeriods;
            _status |= TimerStatus;
        }
    }

    private void UpdateSci()
    {
        bool pending = (_status & _enable & EnableMask) != 0 || (_gpeStatus & _gpeEnable) != 0;
        _sci.Set(pending && (_control & SciEnable) != 0);
        if ((_enable & TimerStatus) != 0 && (_status & TimerStatus) == 0)
        {
            UInt128 ticks = (UInt128)(_timerHalfPeriods + 1) << TimerMsbShift;
            _timer.ArmAt((long)((ticks * 1_000_000_000 / PmTimerHz) + 1));
        }
        else
        {
            _timer.Cancel();
        }
    }

    private void TimerExpired()
    {
        lock (ConfigLock)
        {
            CollectTimer();
            UpdateSci();
        }
    }

    private static byte Part(ushort register, int offset) => (byte)(register >> (8 * (offset & 1)));

    private static ushort WithPart(ushort register, int offset, byte value) =>
        (offset & 1) == 0 ? (ushort)((register & 0xFF00) | value) : (ushort)((register & 0x00FF) | (value << 8));
}
