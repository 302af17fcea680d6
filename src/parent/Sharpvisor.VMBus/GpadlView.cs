// Guest memory registered with a GPADL, scattered over pages, seen as one block.
namespace Sharpvisor.VMBus;

/// <summary>A GPADL's memory. Pages were checked when the view was made; plain RAM stays where it is for the VM's life.</summary>
public sealed class GpadlView
{
    public int Bytes { get; }

    /// <summary>Copies out; false when it does not lie inside.</summary>
    public bool TryRead(int offset, Span<byte> destination) => throw new NotImplementedException();

    /// <summary>Copies in; false when it does not lie inside.</summary>
    public bool TryWrite(int offset, ReadOnlySpan<byte> source) => throw new NotImplementedException();
}
