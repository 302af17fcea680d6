using System.Text;

namespace Sharpvisor.Network.Tests;

internal static class Frames
{
    public static readonly byte[] Broadcast = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];

    /// <summary>A frame of an EtherType for experiments between two addresses, of which only the last byte differs.</summary>
    public static byte[] Between(byte source, byte destination, string text) =>
        [.. Address(destination), .. Address(source), 0x88, 0xB5, .. Encoding.ASCII.GetBytes(text)];

    public static byte[] ToAll(byte source, string text) => [.. Broadcast, .. Address(source), 0x88, 0xB5, .. Encoding.ASCII.GetBytes(text)];

    public static string Text(byte[] frame) => Encoding.ASCII.GetString(frame.AsSpan(14));

    private static byte[] Address(byte last) => [0x02, 0, 0, 0, 0, last];
}
