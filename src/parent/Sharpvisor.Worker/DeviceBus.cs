// Routes port and MMIO intercepts to devices: what "every access is an intercept into the worker" means, in one table.
using System.Collections.Immutable;
using System.Globalization;
using Sharpvisor.Core;
using Sharpvisor.Hypervisor;

namespace Sharpvisor.Worker;

/// <summary>The worker's device bus. Reads of nothing float high; writes to nothing are dropped.</summary>
internal sealed class DeviceBus : IDeviceBus, IInterceptHandler
{
    private readonly IPortDevice?[] _ports = new IPortDevice?[0x10000];
    private readonly Lock _lock = new();
    private ImmutableArray<MmioRange> _mmio = [];

    public void MapPorts(ushort first, int count, IPortDevice device)
    {
        lock (_lock)
        {
            for (int port = first; port < Math.Min(first + count, _ports.Length); port++)
            {
                Volatile.Write(ref _ports[port], device);
            }
        }
    }

    public void UnmapPorts(ushort first, int count)
    {
        lock (_lock)
        {
            for (int port = first; port < Math.Min(first + count, _ports.Length); port++)
            {
                Volatile.Write(ref _ports[port], null);
            }
        }
    }

    public void MapMmio(ulong gpa, ulong bytes, IMmioDevice device)
    {
        lock (_lock)
        {
            _mmio = _mmio.Insert(0, new MmioRange(gpa, bytes, device));
        }
    }

    public void UnmapMmio(ulong gpa, ulong bytes)
    {
        lock (_lock)
        {
            _mmio = _mmio.RemoveAll(r => r.Gpa == gpa && r.Bytes == bytes);
        }
    }

    public uint ReadPort(ushort port, int bytes) =>
        Volatile.Read(ref _ports[port])?.ReadPort(port, bytes) ?? (uint)((1UL << (bytes * 8)) - 1);

    public void WritePort(ushort port, int bytes, uint value) => Volatile.Read(ref _ports[port])?.WritePort(port, bytes, value);

    public int ReadPortString(ushort port, int bytes, Span<byte> destination) =>
        Volatile.Read(ref _ports[port]) is IStringPortDevice device ? device.ReadPortString(port, bytes, destination) : 0;

    public int WritePortString(ushort port, int bytes, ReadOnlySpan<byte> source) =>
        Volatile.Read(ref _ports[port]) is IStringPortDevice device ? device.WritePortString(port, bytes, source) : 0;

    public ulong ReadMmio(ulong gpa, int bytes)
    {
        foreach (MmioRange range in _mmio)
        {
            if (range.Contains(gpa, bytes))
            {
                return range.Device.ReadMmio(gpa - range.Gpa, bytes);
            }
        }

        return ulong.MaxValue >> (64 - (bytes * 8));
    }

    public void WriteMmio(ulong gpa, int bytes, ulong value)
    {
        foreach (MmioRange range in _mmio)
        {
            if (range.Contains(gpa, bytes))
            {
                range.Device.WriteMmio(gpa - range.Gpa, bytes, value);
                return;
            }
        }
    }

    private readonly record struct MmioRange(ulong Gpa, ulong Bytes, IMmioDevice Device)
    {
        public bool Contains(ulong gpa, int bytes) => gpa - Gpa < Bytes && Bytes - (gpa - Gpa) >= (ulong)bytes;

        public override string ToString() =>
            string.Create(CultureInfo.InvariantCulture, $"{Device.GetType().Name} at {Gpa:x}, {Bytes:x} bytes");
    }
}
