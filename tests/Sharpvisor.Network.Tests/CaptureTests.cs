using System.Buffers.Binary;
using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Network.Tests;

public sealed class CaptureTests : IDisposable
{
    private readonly string _file = Path.GetTempFileName();

    public void Dispose() => File.Delete(_file);

    [Fact]
    public void Frames_of_both_directions_are_in_the_file_once()
    {
        var network = new LearningSwitch();
        using TestCard a = new(), b = new();
        using INetworkPort other = network.CreatePort();
        other.Connect(b);
        using (var port = new CapturePort(network.CreatePort(), new PcapWriter(_file)))
        {
            port.Connect(a);
            port.Send(Frames.ToAll(1, "out"), default);
            _ = b.Take();
            a.Refusing = true;
            other.Send(Frames.ToAll(2, "in"), default);
            Assert.True(SpinWait.SpinUntil(() => a.Refused > 0, TimeSpan.FromSeconds(20)));
            a.Refusing = false;
            port.ReceiveReady();
            _ = a.Take();
        }

        Assert.Equal(["out", "in"], ReadFrames(File.ReadAllBytes(_file)).Select(Frames.Text));
    }

    [Fact]
    public void A_file_that_cannot_be_written_is_named()
    {
        NetworkException e = Assert.Throws<NetworkException>(() => new PcapWriter("/nowhere/x.pcap"));
        Assert.Contains("/nowhere/x.pcap", e.Message, StringComparison.Ordinal);
    }

    /// <summary>A parser of its own, by the draft's text.</summary>
    internal static List<byte[]> ReadFrames(byte[] file)
    {
        Assert.Equal(0xA1B23C4D, BinaryPrimitives.ReadUInt32LittleEndian(file));
        Assert.Equal(1u, BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(20)));
        var frames = new List<byte[]>();
        for (int at = 24; at < file.Length;)
        {
            Assert.InRange(BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(at + 4)), 0u, 999_999_999u);
            int length = BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(at + 8));
            Assert.Equal(length, BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(at + 12)));
            frames.Add(file[(at + 16)..(at + 16 + length)]);
            at += 16 + length;
        }

        return frames;
    }
}
