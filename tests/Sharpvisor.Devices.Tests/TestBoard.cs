// Stand-ins for the hypervisor's side of the board.
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Tests;

internal sealed class ManualClock : IPartitionClock
{
    public long Nanoseconds { get; set; }
}

/// <summary>Timers that expire when the test advances time.</summary>
internal sealed class ManualTimers : ITimerService
{
    private readonly ManualClock _clock = new();
    private readonly List<ManualTimer> _timers = [];

    public IPartitionClock Clock => _clock;

    public long Now => _clock.Nanoseconds;

    public IOneShotTimer Create(Action expired)
    {
        var timer = new ManualTimer(expired);
        _timers.Add(timer);
        return timer;
    }

    /// <summary>Runs every timer due on the way.</summary>
    public void Advance(long nanoseconds)
    {
        long target = _clock.Nanoseconds + nanoseconds;
        while (_timers.Where(t => t.Due <= target).MinBy(t => t.Due) is { } timer)
        {
            _clock.Nanoseconds = Math.Max(_clock.Nanoseconds, timer.Due);
            timer.Expire();
        }

        _clock.Nanoseconds = target;
    }

    /// <summary>Lets time pass without running timers, as when the host was busy.</summary>
    public void Stall(long nanoseconds) => _clock.Nanoseconds += nanoseconds;

    private sealed class ManualTimer(Action expired) : IOneShotTimer
    {
        public long Due { get; private set; } = long.MaxValue;

        public void ArmAt(long dueNanoseconds) => Due = dueNanoseconds;

        public void Cancel() => Due = long.MaxValue;

        public void Expire()
        {
            Due = long.MaxValue;
            expired();
        }

        public void Dispose() => Due = long.MaxValue;
    }
}

/// <summary>Maps ports and MMIO and lets a test access them.</summary>
internal sealed class TestBus : IDeviceBus
{
    private readonly IPortDevice?[] _ports = new IPortDevice?[0x10000];
    private readonly Dictionary<ulong, (ulong Bytes, IMmioDevice Device)> _mmio = [];

    public void MapPorts(ushort first, int count, IPortDevice device)
    {
        for (int i = 0; i < count; i++)
        {
            _ports[first + i] = device;
        }
    }

    public void UnmapPorts(ushort first, int count) => Array.Clear(_ports, first, count);

    public void MapMmio(ulong gpa, ulong bytes, IMmioDevice device) => _mmio[gpa] = (bytes, device);

    public void UnmapMmio(ulong gpa, ulong bytes) => _mmio.Remove(gpa);

    public uint In(ushort port, int bytes = 1) => _ports[port]?.ReadPort(port, bytes) ?? (uint)((1UL << (8 * bytes)) - 1);

    public void Out(ushort port, uint value, int bytes = 1) => _ports[port]?.WritePort(port, bytes, value);

    public bool IsMapped(ushort port) => _ports[port] is not null;

    public ulong Read(ulong gpa, int bytes = 4) => Find(gpa, out ulong offset) is { } d ? d.ReadMmio(offset, bytes) : ulong.MaxValue;

    public void Write(ulong gpa, ulong value, int bytes = 4) => Find(gpa, out ulong offset)?.WriteMmio(offset, bytes, value);

    private IMmioDevice? Find(ulong gpa, out ulong offset)
    {
        foreach ((ulong start, (ulong bytes, IMmioDevice device)) in _mmio)
        {
            if (gpa >= start && gpa - start < bytes)
            {
                offset = gpa - start;
                return device;
            }
        }

        offset = 0;
        return null;
    }
}

internal sealed class TestApicBus : IApicBus
{
    public event Action<byte>? EndOfInterrupt;

    public List<MsiMessage> Messages { get; } = [];

    public bool ExternalInterrupt { get; private set; }

    /// <summary>Called for each message, on the thread that brings it.</summary>
    public Action<MsiMessage>? Delivering { get; set; }

    public void Deliver(MsiMessage message)
    {
        Messages.Add(message);
        Delivering?.Invoke(message);
    }

    public void SetExternalInterrupt(bool asserted) => ExternalInterrupt = asserted;

    public void Eoi(byte vector) => EndOfInterrupt?.Invoke(vector);
}

internal sealed class TestPower : IPowerControl
{
    public int PowerOffs { get; private set; }

    public int Resets { get; private set; }

    public int? ExitStatus { get; private set; }

    public void PowerOff() => PowerOffs++;

    public void Reset() => Resets++;

    public void Exit(int status) => ExitStatus = status;
}

internal sealed class TestLine : IInterruptLine
{
    public bool IsAsserted { get; private set; }

    public int Rises { get; private set; }

    public void Set(bool asserted)
    {
        Rises += asserted && !IsAsserted ? 1 : 0;
        IsAsserted = asserted;
    }
}

internal sealed class TestTime : TimeProvider
{
    public DateTimeOffset Utc { get; set; } = new(2024, 2, 29, 23, 59, 58, TimeSpan.Zero);

    public override DateTimeOffset GetUtcNow() => Utc;
}

/// <summary>A whole board.</summary>
internal sealed class TestBoard : IDisposable
{
    public TestBoard(bool integration = true, ulong ramBytes = 64UL << 20, int processors = 2, Stream? com1 = null)
    {
        Memory = new GuestMemory(ramBytes);
        Chipset = new Chipset(
            new ChipsetOptions
            {
                Processors = processors,
                Integration = integration,
                Com1Output = com1,
                DebugExit = true,
                FwCfg = true,
                HostTime = Time,
                VmId = new Guid("01234567-89ab-cdef-0123-456789abcdef"),
            },
            Memory,
            Bus,
            Apic,
            Timers,
            Power);
    }

    public TestBus Bus { get; } = new();

    public TestApicBus Apic { get; } = new();

    public ManualTimers Timers { get; } = new();

    public TestPower Power { get; } = new();

    public TestTime Time { get; } = new();

    public GuestMemory Memory { get; }

    public Chipset Chipset { get; }

    /// <summary>Programs the PIC pair as Linux does: vectors 0x30 and 0x38, everything unmasked.</summary>
    public void InitialisePic(byte icw4 = 1)
    {
        foreach ((ushort port, byte vector, byte cascade) in new[] { ((ushort)0x20, (byte)0x30, (byte)4), ((ushort)0xA0, (byte)0x38, (byte)2) })
        {
            Bus.Out(port, 0x11);
            Bus.Out((ushort)(port + 1), vector);
            Bus.Out((ushort)(port + 1), cascade);
            Bus.Out((ushort)(port + 1), icw4);
            Bus.Out((ushort)(port + 1), 0);
        }
    }

    public void WriteIoApic(byte register, uint value)
    {
        Bus.Write(IoApic.BaseGpa, register);
        Bus.Write(IoApic.BaseGpa + 0x10, value);
    }

    public uint ReadIoApic(byte register)
    {
        Bus.Write(IoApic.BaseGpa, register);
        return (uint)Bus.Read(IoApic.BaseGpa + 0x10);
    }

    public uint ReadPci(int device, int function, int offset, int bytes = 4)
    {
        Bus.Out(0xCF8, 0x8000_0000u | (uint)(device << 11) | (uint)(function << 8) | (uint)(offset & 0xFC), 4);
        return Bus.In((ushort)(0xCFC + (offset & 3)), bytes);
    }

    public void WritePci(int device, int function, int offset, uint value, int bytes = 4)
    {
        Bus.Out(0xCF8, 0x8000_0000u | (uint)(device << 11) | (uint)(function << 8) | (uint)(offset & 0xFC), 4);
        Bus.Out((ushort)(0xCFC + (offset & 3)), value, bytes);
    }

    public void Dispose()
    {
        Chipset.Dispose();
        Memory.Dispose();
    }
}
