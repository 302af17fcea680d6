// Reading and making messages: bytes in, structs out. The input is a private copy, so each field is read once by nature.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Sharpvisor.VMBus.Protocol;

/// <summary>Message parsing and building.</summary>
public static class Wire
{
    /// <summary>Reads a structure at the start of a message; longer messages are fine (UEFI always sends the maximum).</summary>
    public static bool TryParse<T>(ReadOnlySpan<byte> message, out T value)
        where T : unmanaged
    {
        if (message.Length < Unsafe.SizeOf<T>())
        {
            value = default;
            return false;
        }

        value = MemoryMarshal.Read<T>(message);
        return true;
    }

    /// <summary>The bytes of a message.</summary>
    public static byte[] ToBytes<T>(in T message)
        where T : unmanaged =>
        MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in message)).ToArray();

    public static MessageHeader Header(ChannelMessageType type) => new() { Type = type };
}
