// A packet capture file with nanosecond time stamps (draft-ietf-opsawg-pcap), link type Ethernet.
using System.Buffers.Binary;

namespace Sharpvisor.Network;

/// <summary>Appends frames to a capture. Thread-safe. A full disk ends the capture, not the VM.</summary>
public sealed class PcapWriter : IDisposable
{
    private const uint NanosecondMagic = 0xA1B2_3C4D;
    private const int LinkTypeEthernet = 1;
    private const int MaximumFrameBytes = 262144;
    private const int HeaderBytes = 24;
    private const int RecordBytes = 16;
    private const int BufferBytes = 64 << 10;
    private const int FlushMilliseconds = 500;
    private readonly FileStream _file;
    private readonly Lock _lock = new();
    private long _flushed;
    private bool _closed;

    /// <exception cref="NetworkException">The file cannot be written.</exception>
    public PcapWriter(string path)
    {
        Span<byte> header = stackalloc byte[HeaderBytes];
        header.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(header, NanosecondMagic);
        BinaryPrimitives.WriteUInt16LittleEndian(header[4..], 2);
        BinaryPrimitives.WriteUInt16LittleEndian(header[6..], 4);
        BinaryPrimitives.WriteUInt32LittleEndian(header[16..], MaximumFrameBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(header[20..], LinkTypeEthernet);
        try
        {
            _file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, BufferBytes);
            _file.Write(header);
            _file.Flush();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new NetworkException($"--pcap {path}: cannot be written ({e.Message})");
        }
    }

    public void Write(ReadOnlySpan<byte> frame)
    {
        Span<byte> record = stackalloc byte[RecordBytes];
        long ticks = DateTime.UtcNow.Ticks - DateTime.UnixEpoch.Ticks;
        BinaryPrimitives.WriteUInt32LittleEndian(record, (uint)(ticks / TimeSpan.TicksPerSecond));
        BinaryPrimitives.WriteUInt32LittleEndian(record[4..], (uint)(ticks % TimeSpan.TicksPerSecond * 100));
        BinaryPrimitives.WriteInt32LittleEndian(record[8..], frame.Length);
        BinaryPrimitives.WriteInt32LittleEndian(record[12..], frame.Length);
        lock (_lock)
        {
            if (_closed)
            {
                return;
            }

            try
            {
                _file.Write(record);
                _file.Write(frame);

                // So that a reader sees a quiet network's last frames soon, and a busy one's in blocks.
                long now = Environment.TickCount64;
                if (now - _flushed > FlushMilliseconds)
                {
                    _flushed = now;
                    _file.Flush();
                }
            }
            catch (IOException)
            {
                _closed = true;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
        {
            _closed = true;
            try
            {
                _file.Dispose();
            }
            catch (IOException)
            {
                // The disk is full: the capture ends before the last frames.
            }
        }
    }
}
