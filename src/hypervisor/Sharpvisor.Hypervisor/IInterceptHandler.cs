// Where accesses go that neither guest memory nor the hypervisor answers: the worker's device bus.
namespace Sharpvisor.Hypervisor;

/// <summary>The worker's end of port and MMIO intercepts. Called on VP threads, concurrently.</summary>
public interface IInterceptHandler
{
    /// <param name="port">Absolute port number.</param>
    /// <param name="bytes">1, 2 or 4.</param>
    /// <returns>All ones when nothing claims the port.</returns>
    uint ReadPort(ushort port, int bytes);

    /// <inheritdoc cref="ReadPort"/>
    void WritePort(ushort port, int bytes, uint value);

    /// <summary>String input in one intercept; returns elements done, 0 when the device has no fast path.</summary>
    int ReadPortString(ushort port, int bytes, Span<byte> destination);

    /// <inheritdoc cref="ReadPortString"/>
    int WritePortString(ushort port, int bytes, ReadOnlySpan<byte> source);

    /// <param name="gpa">Guest physical address without memory (or ROM, for writes).</param>
    /// <param name="bytes">1, 2, 4 or 8.</param>
    ulong ReadMmio(ulong gpa, int bytes);

    /// <inheritdoc cref="ReadMmio"/>
    void WriteMmio(ulong gpa, int bytes, ulong value);
}
