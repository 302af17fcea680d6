// A small VNC client for tests, written from The RFB Protocol 3.8: raw, Zlib and ZRLE, and whatever bytes a test wants to send.
using System.Buffers.Binary;
using System.IO.Compression;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

#pragma warning disable CA5351 // DES is the protocol's cipher, not ours to choose.

namespace Sharpvisor.Display.Tests;

internal sealed class RfbClient : IDisposable
{
    private readonly NetworkStream _stream;
    private readonly MemoryStream _zlibInput = new();
    private readonly MemoryStream _zrleInput = new();
    private readonly ZLibStream _zlib;
    private readonly ZLibStream _zrle;

    private RfbClient(Socket socket)
    {
        _stream = new NetworkStream(socket, ownsSocket: true) { ReadTimeout = 30_000 };
        _zlib = new ZLibStream(_zlibInput, CompressionMode.Decompress);
        _zrle = new ZLibStream(_zrleInput, CompressionMode.Decompress);
    }

    public int Width { get; private set; }

    public int Height { get; private set; }

    /// <summary>0x00RRGGBB.</summary>
    public uint[] Pixels { get; private set; } = [];

    /// <summary>The encodings of the rectangles received so far.</summary>
    public HashSet<int> Received { get; } = [];

    /// <summary>Connects and goes through the handshake; throws an InvalidDataException with the server's reason if it refuses.</summary>
    public static RfbClient Connect(System.Net.EndPoint server, string? password = null, string version = "RFB 003.008\n")
    {
        RfbClient client = ConnectOnly(server);
        try
        {
            client.Handshake(password, version);
            return client;
        }
        catch
        {
            client.Dispose();
            throw;
        }
    }

    public static RfbClient ConnectOnly(System.Net.EndPoint server)
    {
        var socket = new Socket(server.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(server);
        return new RfbClient(socket);
    }

    public void Dispose()
    {
        _zlib.Dispose();
        _zrle.Dispose();
        _stream.Dispose();
    }

    public void SetEncodings(params int[] encodings)
    {
        byte[] message = new byte[4 + (4 * encodings.Length)];
        message[0] = 2;
        BinaryPrimitives.WriteUInt16BigEndian(message.AsSpan(2), (ushort)encodings.Length);
        for (int i = 0; i < encodings.Length; i++)
        {
            BinaryPrimitives.WriteInt32BigEndian(message.AsSpan(4 + (4 * i)), encodings[i]);
        }

        Send(message);
    }

    public void Request(bool incremental)
    {
        byte[] message = new byte[10];
        message[0] = 3;
        message[1] = incremental ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteUInt16BigEndian(message.AsSpan(6), (ushort)Width);
        BinaryPrimitives.WriteUInt16BigEndian(message.AsSpan(8), (ushort)Height);
        Send(message);
    }

    /// <summary>Waits for a FramebufferUpdate and applies it; returns the rectangles' pixels in number.</summary>
    public int ReceiveUpdate()
    {
        byte[] header = Read(4);
        if (header[0] != 0)
        {
            throw new InvalidDataException($"message {header[0]}");
        }

        int pixels = 0;
        for (int i = BinaryPrimitives.ReadUInt16BigEndian(header.AsSpan(2)); i > 0; i--)
        {
            pixels += ReceiveRectangle();
        }

        return pixels;
    }

    public void Key(uint keysym, bool down)
    {
        byte[] message = [4, down ? (byte)1 : (byte)0, 0, 0, 0, 0, 0, 0];
        BinaryPrimitives.WriteUInt32BigEndian(message.AsSpan(4), keysym);
        Send(message);
    }

    public void Press(uint keysym)
    {
        Key(keysym, true);
        Key(keysym, false);
    }

    public void Pointer(int buttons, int x, int y)
    {
        byte[] message = [5, (byte)buttons, 0, 0, 0, 0];
        BinaryPrimitives.WriteUInt16BigEndian(message.AsSpan(2), (ushort)x);
        BinaryPrimitives.WriteUInt16BigEndian(message.AsSpan(4), (ushort)y);
        Send(message);
    }

    public void Send(ReadOnlySpan<byte> bytes) => _stream.Write(bytes);

    public byte[] Read(int bytes)
    {
        byte[] buffer = new byte[bytes];
        _stream.ReadExactly(buffer);
        return buffer;
    }

    /// <summary>Waits until the server hangs up.</summary>
    public bool IsHungUp()
    {
        byte[] rest = new byte[4096];
        try
        {
            while (_stream.Read(rest) > 0)
            {
            }

            return true;
        }
        catch (IOException e)
        {
            return e.InnerException is SocketException { SocketErrorCode: SocketError.ConnectionReset };
        }
    }

    private void Handshake(string? password, string version)
    {
        if (Encoding.ASCII.GetString(Read(12)) != "RFB 003.008\n")
        {
            throw new InvalidDataException("not RFB 3.8");
        }

        Send(Encoding.ASCII.GetBytes(version));
        int type;
        if (version.Contains("003.003", StringComparison.Ordinal))
        {
            type = Read(4)[3];
        }
        else
        {
            type = Read(Read(1)[0])[0];
            Send([(byte)type]);
        }

        if (type == 2)
        {
            Send(Answer(Read(16), password!));
        }

        if ((type == 2 || version.Contains("003.008", StringComparison.Ordinal)) && Read(4)[3] != 0)
        {
            throw new InvalidDataException(Encoding.UTF8.GetString(Read(BinaryPrimitives.ReadInt32BigEndian(Read(4)))));
        }

        Send([1]);
        byte[] init = Read(24);
        Resize(BinaryPrimitives.ReadUInt16BigEndian(init), BinaryPrimitives.ReadUInt16BigEndian(init.AsSpan(2)));
        _ = Read(BinaryPrimitives.ReadInt32BigEndian(init.AsSpan(20)));
    }

    private static byte[] Answer(byte[] challenge, string password)
    {
        using var des = DES.Create();
        byte[] key = new byte[8];
        for (int i = 0; i < Math.Min(8, password.Length); i++)
        {
            key[i] = (byte)(((password[i] * 0x0202020202UL) & 0x010884422010UL) % 1023);
        }

        des.Key = key;
        return des.EncryptEcb(challenge, PaddingMode.None);
    }

    private int ReceiveRectangle()
    {
        byte[] header = Read(12);
        int U16(int offset) => BinaryPrimitives.ReadUInt16BigEndian(header.AsSpan(offset));
        (int x, int y, int width, int height) = (U16(0), U16(2), U16(4), U16(6));
        int encoding = BinaryPrimitives.ReadInt32BigEndian(header.AsSpan(8));
        Received.Add(encoding);
        switch (encoding)
        {
            case 0:
                TakeRaw(_stream, x, y, width, height);
                break;
            case 6:
                Feed(_zlibInput);
                TakeRaw(_zlib, x, y, width, height);
                break;
            case 16:
                Feed(_zrleInput);
                TakeTiles(x, y, width, height);
                break;
            case -223:
                Resize(width, height);
                return 0;
            case -258:
                return 0;
            default:
                throw new InvalidDataException($"encoding {encoding}");
        }

        return width * height;
    }

    private void Feed(MemoryStream input)
    {
        byte[] data = Read(BinaryPrimitives.ReadInt32BigEndian(Read(4)));
        input.SetLength(0);
        input.Write(data);
        input.Position = 0;
    }

    private void TakeRaw(Stream source, int x, int y, int width, int height)
    {
        byte[] row = new byte[width * 4];
        for (int line = 0; line < height; line++)
        {
            source.ReadExactly(row);
            for (int i = 0; i < width; i++)
            {
                Pixels[((y + line) * Width) + x + i] = BinaryPrimitives.ReadUInt32LittleEndian(row.AsSpan(4 * i)) & 0xFF_FFFF;
            }
        }
    }

    private void TakeTiles(int left, int top, int width, int height)
    {
        for (int y = 0; y < height; y += 64)
        {
            for (int x = 0; x < width; x += 64)
            {
                TakeTile(left + x, top + y, Math.Min(64, width - x), Math.Min(64, height - y));
            }
        }
    }

    private void TakeTile(int left, int top, int width, int height)
    {
        int kind = _zrle.ReadByte();
        uint[] palette = new uint[kind is > 0 and <= 16 ? kind : NoPalette(kind)];
        for (int i = 0; i < palette.Length; i++)
        {
            palette[i] = ReadCompact();
        }

        int bits = kind switch { 0 or 1 => 0, 2 => 1, <= 4 => 2, _ => 4 };
        for (int y = 0; y < height; y++)
        {
            int have = 0;
            int packed = 0;
            for (int x = 0; x < width; x++)
            {
                if (bits > 0 && have == 0)
                {
                    packed = _zrle.ReadByte();
                    have = 8;
                }

                have -= bits;
                uint pixel = kind == 0 ? ReadCompact() : bits == 0 ? palette[0] : palette[(packed >> have) & ((1 << bits) - 1)];
                Pixels[((top + y) * Width) + left + x] = pixel;
            }
        }

        static int NoPalette(int kind) => kind == 0 ? 0 : throw new InvalidDataException($"ZRLE tile {kind}");
    }

    private uint ReadCompact()
    {
        Span<byte> bytes = stackalloc byte[3];
        _zrle.ReadExactly(bytes);
        return bytes[0] | ((uint)bytes[1] << 8) | ((uint)bytes[2] << 16);
    }

    private void Resize(int width, int height)
    {
        (Width, Height) = (width, height);
        Pixels = new uint[width * height];
    }
}
