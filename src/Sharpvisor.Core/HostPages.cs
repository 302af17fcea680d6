// A run of host memory as Memory<byte>: either a window into guest RAM or pages of our own.
using System.Buffers;
using Sharpvisor.Core.Interop;

namespace Sharpvisor.Core;

internal sealed unsafe class HostPages : MemoryManager<byte>
{
    private readonly bool _owned;

    public HostPages(byte* address, int length, bool owned)
    {
        Address = address;
        Length = length;
        _owned = owned;
    }

    public HostPages(int length)
    {
        // SAFETY: checked below; unmapped once, in Dispose.
        void* address = Libc.mmap(
            null, (nuint)length, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS, -1, 0);
        if ((nint)address == -1)
        {
            throw new IOException($"cannot map {length} bytes");
        }

        Address = (byte*)address;
        Length = length;
        _owned = true;
    }

    public byte* Address { get; }

    public int Length { get; }

    public override Span<byte> GetSpan() => new(Address, Length);

    public override MemoryHandle Pin(int elementIndex = 0) => new(Address + elementIndex);

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
        if (_owned)
        {
            _ = Libc.munmap(Address, (nuint)Length);
        }
    }
}
