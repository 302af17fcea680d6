// DECchip 21140A, the card behind Hyper-V's "legacy network adapter": registers, interrupts and life cycle. Its transmit and receive
// processes are in the partial files. Document: see Dec21140Registers; driver: drivers/net/ethernet/dec/tulip.
using Sharpvisor.Core;
using Sharpvisor.Devices.Pci;
using static Sharpvisor.Devices.Nic.Dec21140Registers;

namespace Sharpvisor.Devices.Nic;

/// <summary>1011:0009, revision 2.0. Frames go to a port of a network; a thread of its own transmits.</summary>
public sealed partial class Dec21140 : PciFunction, IPortDevice, IMmioDevice, INetworkCard, IDisposable
{
    /// <summary>The slot of the first one, as on Hyper-V.</summary>
    public const int FirstSlot = 10;

    private const ushort SubsystemVendor = 0x0A00;
    private const ushort Subsystem = 0x2114;
    private const int PowerRegister = 0x40;
    private const int MinimumGrant = 0x3E;

    // Table 3-1: the state after a reset, for what is not kept elsewhere.
    private static readonly uint[] s_initial =
    [
        0xFE00_0000, uint.MaxValue, uint.MaxValue, 0, 0, 0, 0x3200_0040, 0xF3FE_0000,
        0, 0xFFF0_0000, 0, 0xFFFE_0000, 0xFFFF_FE00, uint.MaxValue, uint.MaxValue, 0xFFFF_FE00,
    ];

    // CSR11 counts in 81.92 microseconds on a MII at 100 Mb/s.
    private const long TimerTickNanoseconds = 81_920;

    private readonly GuestMemory _memory;
    private readonly INetworkPort _port;
    private readonly ITimerService _timers;
    private readonly IOneShotTimer _timer;
    private readonly SerialRom _rom;
    private readonly MiiManagement _mii = new(Dec21140Rom.PhyAddress);
    private readonly Dec21140Filter _filter = new();
    private readonly Dec21140Counters _counters;
    private readonly uint[] _registers = new uint[Count];

    // Guards everything below and all accesses to descriptors and buffers: a stopped or reset card touches no guest memory.
    private readonly Lock _lock = new();
    private uint _sources;
    private uint _busError;
    private bool _interrupting;
    private uint _purpose;
    private bool _paused;
    private bool _disposed;

    /// <param name="slot">PCI device number.</param>
    /// <param name="port">What it is plugged into; stays its owner's.</param>
    /// <param name="statistics">Gets <c>network.tulipN.*</c>.</param>
    /// <param name="index">N.</param>
    public Dec21140(
        int slot, GuestMemory memory, ITimerService timers, INetworkPort port, MacAddress address, Statistics statistics, int index)
        : base(slot, 0, new PciIdentity(0x1011, 0x0009, 0x020000, 0x20, SubsystemVendor, Subsystem))
    {
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(timers);
        ArgumentNullException.ThrowIfNull(port);
        ArgumentNullException.ThrowIfNull(statistics);
        _memory = memory;
        _timers = timers;
        _port = port;
        _counters = new Dec21140Counters(statistics, index);
        _rom = new SerialRom(Dec21140Rom.Create(address, SubsystemVendor, Subsystem));
        _timer = timers.Create(TimerDue);
        Set16(PciConfig.Status, 0x0280);
        AllowWrites32(PowerRegister, 0xC000_FF00);
        Set16(MinimumGrant, 0x2814);
        UseInterruptPin(1);
        DefineIoBar(0, Bytes, this);
        DefineMemoryBar(1, Bytes, this);
        ResetCard();
        _transmitter = new Thread(Transmit) { IsBackground = true, Name = $"tulip{index}" };
        _transmitter.Start();
        port.Connect(this);
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes) => (uint)ReadMmio(port, bytes);

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value) => WriteMmio(port, bytes, value);

    /// <inheritdoc/>
    public ulong ReadMmio(ulong offset, int bytes)
    {
        // Registers are read by longword; a narrower read gets its part.
        uint value = ReadRegister((int)(offset >> 3));
        return (offset & 4) != 0 ? 0 : value >> (int)(8 * (offset & 3));
    }

    /// <inheritdoc/>
    public void WriteMmio(ulong offset, int bytes, ulong value)
    {
        // HRM 3.2: "longword access"; others have no defined effect.
        if (bytes >= 4 && (offset & 7) == 0)
        {
            WriteRegister((int)(offset >> 3), (uint)value);
        }
    }

    /// <summary>The card touches no guest memory from its return on.</summary>
    public void Pause()
    {
        lock (_lock)
        {
            _paused = true;
        }
    }

    /// <summary>Undoes <see cref="Pause"/>.</summary>
    public void Resume()
    {
        lock (_lock)
        {
            _paused = false;
            _refused = false;
        }

        _ = _work.Set();
        _port.ReceiveReady();
    }

    /// <summary>Stops transmitting. Ends the thread only once the port does not block it any longer: dispose of that first.</summary>
    public void Dispose()
    {
        StopTransmitting();
        _transmitter.Join();
        _timer.Dispose();
        _work.Dispose();
    }

    /// <inheritdoc/>
    protected override void OnReset()
    {
        lock (_lock)
        {
            ResetCard();
        }

        _port.ReceiveReady();
    }

    /// <inheritdoc/>
    protected override void ConfigWritten(int offset, int bytes)
    {
        lock (_lock)
        {
            UpdateInterrupt();
        }
    }

    private uint ReadRegister(int index)
    {
        bool room = false;
        uint value;
        lock (_lock)
        {
            switch (index)
            {
                case 5:
                    value = Status;
                    room = HasRoomAgain();
                    break;
                case 6:
                    value = (_registers[6] & ~FilterBits) | _filter.ModeBits;
                    break;
                case 8:
                    // Reading clears the count of frames missed.
                    value = _missed;
                    _missed = 0;
                    break;
                case 9:
                    value = 0xFFF0_0000 | (_registers[9] & 0xFF00) | _mii.Pins | 0xF0 | _rom.Pins;
                    break;
                case 12:
                    value = 0xFFFF_FE00 | _purpose;
                    break;
                default:
                    value = _registers[index];
                    break;
            }
        }

        if (room)
        {
            _port.ReceiveReady();
        }

        return value;
    }

    private void WriteRegister(int index, uint value)
    {
        bool room = false;
        lock (_lock)
        {
            switch (index)
            {
                case 0:
                    WriteBusMode(value);
                    break;
                case 1:
                    PollTransmit();
                    break;
                case 2:
                    ResumeReceive();
                    room = HasRoomAgain();
                    break;
                case 3 or 4:
                    SetList(index, value & ~3u);
                    break;
                case 5:
                    _sources &= ~(value & InterruptSources);
                    UpdateInterrupt();
                    room = HasRoomAgain();
                    break;
                case 6:
                    WriteMode(value);
                    room = HasRoomAgain();
                    break;
                case 7:
                    _registers[7] = value;
                    UpdateInterrupt();
                    room = HasRoomAgain();
                    break;
                case 9:
                    WriteSerial(value);
                    break;
                case 11:
                    StartTimer(value);
                    break;
                case 12:
                    // Bit 8 says that the others are directions; no pin is connected.
                    _purpose = (value & 0x100) != 0 ? _purpose : value & 0xFF;
                    break;
                default:
                    _registers[index] = value;
                    break;
            }
        }

        if (room)
        {
            _port.ReceiveReady();
        }
    }

    private uint Status
    {
        get
        {
            uint receive = !ReceiveStarted ? 0 : _receiveSuspended ? ReceiveSuspended : ReceiveWaiting;
            uint transmit = !TransmitStarted ? 0 : _transmitSuspended ? TransmitSuspended : TransmitRunning;
            return StatusFixed | _busError | _sources | Summary
                | (receive << ReceiveStateShift) | (transmit << TransmitStateShift);
        }
    }

    // Only sources that CSR7 lets through count.
    private uint Summary
    {
        get
        {
            uint enabled = _sources & _registers[7];
            return ((enabled & NormalSources) != 0 ? NormalSummary : 0)
                | ((enabled & ~NormalSources & InterruptSources) != 0 ? AbnormalSummary : 0);
        }
    }

    private bool ReceiveStarted => (_registers[6] & StartReceive) != 0 && _busError == 0;

    private bool TransmitStarted => (_registers[6] & StartTransmit) != 0 && _busError == 0;

    private void WriteBusMode(uint value)
    {
        if ((value & SoftwareReset) != 0)
        {
            ResetCard();
            return;
        }

        _registers[0] = value;
    }

    private void WriteMode(uint value)
    {
        bool startTransmit = (value & ~_registers[6] & StartTransmit) != 0;
        bool startReceive = (value & ~_registers[6] & StartReceive) != 0;
        _registers[6] = value;
        if (startTransmit)
        {
            PollTransmit();
        }

        if (startReceive)
        {
            _receiveSuspended = false;
        }

        // DEVIATION: a stop that was asked for does not set TPS or RPS. Linux's interrupt handler answers TPS by stopping and
        // starting, so that it would go on for ever where stopping takes no time (interrupt.c, "TxDied").
    }

    private void WriteSerial(uint value)
    {
        _registers[9] = value & 0xFF00;
        _mii.Write(value);
        if ((value & RomSelect) != 0)
        {
            _rom.Write(value);
        }
    }

    private void StartTimer(uint value)
    {
        _registers[11] = 0xFFFE_0000 | (value & 0x1_FFFF);
        if ((value & 0xFFFF) == 0)
        {
            _timer.Cancel();
        }
        else
        {
            _timer.ArmAt(_timers.Clock.Nanoseconds + ((value & 0xFFFF) * TimerTickNanoseconds));
        }
    }

    private void TimerDue()
    {
        lock (_lock)
        {
            Raise(TimerExpired);
            if ((_registers[11] & 0x1_0000) != 0)
            {
                StartTimer(_registers[11]);
            }
        }
    }

    private void Raise(uint source)
    {
        _sources |= source;
        UpdateInterrupt();
    }

    /// <summary>A descriptor or buffer is no memory: the processes stop until a reset (HRM 3.2.2.6, CSR5&lt;13&gt;).</summary>
    private void FailBus()
    {
        _busError = MasterAbort;
        Raise(FatalBusError);
    }

    private void UpdateInterrupt()
    {
        bool asserted = (Summary & _registers[7]) != 0 && (Get16(PciConfig.Command) & PciConfig.CommandInterruptDisable) == 0;
        if (asserted != _interrupting)
        {
            _interrupting = asserted;
            if (asserted)
            {
                _counters.Interrupts.Increment();
            }

            InterruptPin.Set(asserted);
        }
    }

    private void SetList(int index, uint address)
    {
        _registers[index] = address;
        if (index == 3)
        {
            (_receiveDescriptor, _receiveSuspended) = (address, false);
        }
        else
        {
            _transmitDescriptor = address;
        }
    }

    // Word addresses and control word of the descriptor after one: the base, a link, or the next in memory.
    private uint NextDescriptor(uint descriptor, uint control, uint link, uint listBase)
    {
        if ((control & EndOfRing) != 0)
        {
            return listBase;
        }

        uint skipped = (_registers[0] >> SkipLengthShift & SkipLengthMask) * 4;
        return (control & Chained) != 0 ? link & ~3u : descriptor + DescriptorBytes + skipped;
    }

    private void ResetCard()
    {
        s_initial.CopyTo(_registers, 0);
        (_sources, _busError, _missed, _purpose) = (0, 0, 0, 0);
        (_receiveDescriptor, _receiveSuspended, _refused) = (0, false, false);
        (_transmitDescriptor, _transmitSuspended, _gathered, _gathering) = (0, false, 0, false);
        _timer.Cancel();
        _mii.Reset();
        _filter.Reset();
        UpdateInterrupt();
    }
}
