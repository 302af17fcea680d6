// A disk in memory that can be told to fail, and to take its time.
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Tests.Ide;

internal sealed class MemoryDisk(int sectors, bool isReadOnly = false) : IDisk
{
    private int _reads;

    public byte[] Content { get; } = new byte[sectors * 512];

    public DiskStatus Fault { get; set; } = DiskStatus.Success;

    /// <summary>When set, requests end only when this does.</summary>
    public Task? Gate { get; set; }

    public int Flushes { get; private set; }

    /// <summary>Reads begun.</summary>
    public int Reads => Volatile.Read(ref _reads);

    public long Bytes => Content.Length;

    public int LogicalSectorBytes => 512;

    public int PhysicalSectorBytes => 4096;

    public bool IsReadOnly => isReadOnly;

    public Guid Id { get; } = new("01234567-89ab-cdef-0123-456789abcdef");

    public async ValueTask<DiskStatus> ReadAsync(long offset, IReadOnlyList<Memory<byte>> buffers)
    {
        Interlocked.Increment(ref _reads);
        if (Gate is { } gate)
        {
            await gate;
        }

        if (Fault == DiskStatus.Success)
        {
            foreach (Memory<byte> buffer in buffers)
            {
                Content.AsSpan((int)offset, buffer.Length).CopyTo(buffer.Span);
                offset += buffer.Length;
            }
        }

        return Fault;
    }

    public async ValueTask<DiskStatus> WriteAsync(long offset, IReadOnlyList<ReadOnlyMemory<byte>> buffers)
    {
        // Never at once: the asynchronous path is the usual one.
        await Task.Yield();
        if (Gate is { } gate)
        {
            await gate;
        }

        if (Fault == DiskStatus.Success)
        {
            foreach (ReadOnlyMemory<byte> buffer in buffers)
            {
                buffer.Span.CopyTo(Content.AsSpan((int)offset));
                offset += buffer.Length;
            }
        }

        return Fault;
    }

    public ValueTask<DiskStatus> FlushAsync()
    {
        Flushes++;
        return new ValueTask<DiskStatus>(Fault);
    }

    public ValueTask<DiskStatus> UnmapAsync(long offset, long bytes)
    {
        Content.AsSpan((int)offset, (int)bytes).Clear();
        return new ValueTask<DiskStatus>(Fault);
    }

    public void Dispose()
    {
    }
}
