// What one client has seen of the screen, and the messages that bring it up to date (RFB 3.8, 7.6.1).
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Display.Vnc;

/// <summary>Not thread-safe: its connection locks.</summary>
internal sealed class ClientView : IDisposable
{
    public const int DesktopSize = -223;
    public const int QemuExtendedKeys = -258;

    private const int TileSide = 64;
    private const int LongestRun = 512;

    private readonly ScreenFeed _feed;
    private readonly RectangleEncoder _encoder = new();
    private readonly MemoryStream _message = new();
    private readonly List<Rectangle> _changed = [];
    private readonly ScreenImage _seen = new();
    private bool[] _stale = [];
    private long _frame;
    private (int Width, int Height)? _newSize;

    public ClientView(ScreenFeed feed)
    {
        _feed = feed;
        (int width, int height) = feed.Size;
        Resize(width, height);
    }

    public int Width => _seen.Width;

    public int Height => _seen.Height;

    public PixelFormat Format { get; set; } = PixelFormat.Native;

    /// <summary>The client's first choice of those we have.</summary>
    public int Encoding { get; set; } = RectangleEncoder.Raw;

    public bool TakesDesktopSize { get; set; }

    /// <summary>The client takes key events with scan codes and has not been told yet that we do.</summary>
    public bool OweExtendedKeys { get; set; }

    private int TilesAcross => (_seen.Width + TileSide - 1) / TileSide;

    /// <summary>The client has lost its pixels there.</summary>
    public void Invalidate(int x, int y, int width, int height)
    {
        int lastX = Math.Min(x + width, _seen.Width);
        int lastY = Math.Min(y + height, _seen.Height);
        for (int top = y / TileSide * TileSide; top < lastY; top += TileSide)
        {
            for (int left = x / TileSide * TileSide; left < lastX; left += TileSide)
            {
                _stale[(top / TileSide * TilesAcross) + (left / TileSide)] = true;
            }
        }
    }

    /// <summary>A FramebufferUpdate with all that the client has not seen; empty when there is nothing. Valid until the next call.</summary>
    public ReadOnlyMemory<byte> BuildUpdate()
    {
        _feed.Read(ref _frame, Take);
        _message.SetLength(0);
        _changed.Clear();
        FindChanges();
        int extra = (_newSize is null ? 0 : 1) + (OweExtendedKeys ? 1 : 0);
        if (_changed.Count + extra == 0)
        {
            return default;
        }

        Span<byte> header = stackalloc byte[4];
        header.Clear();
        BinaryPrimitives.WriteUInt16BigEndian(header[2..], (ushort)(_changed.Count + extra));
        _message.Write(header);
        WriteExtras();
        foreach (Rectangle area in _changed)
        {
            _encoder.Write(_message, _seen, area, Encoding, Format);
        }

        return _message.GetBuffer().AsMemory(0, (int)_message.Length);
    }

    public void Dispose()
    {
        _encoder.Dispose();
        _message.Dispose();
    }

    private void Take(ScreenImage image)
    {
        if ((image.Width, image.Height) != (_seen.Width, _seen.Height) && TakesDesktopSize)
        {
            Resize(image.Width, image.Height);
            _newSize = (image.Width, image.Height);
        }

        // A client that cannot be resized sees the part that fits, and black.
        int width = Math.Min(image.Width, _seen.Width);
        for (int y = 0; y < _seen.Height; y++)
        {
            Span<uint> seen = _seen.Row(y);
            ReadOnlySpan<uint> now = y < image.Height ? image.Row(y)[..width] : [];
            int tileRow = y / TileSide * TilesAcross;
            for (int x = 0; x < seen.Length; x += TileSide)
            {
                Span<uint> part = seen[x..Math.Min(x + TileSide, seen.Length)];
                ReadOnlySpan<uint> news = now.Length > x ? now[x..Math.Min(x + TileSide, now.Length)] : [];
                if (!part[..news.Length].SequenceEqual(news) || part[news.Length..].ContainsAnyExcept(0u))
                {
                    news.CopyTo(part);
                    part[news.Length..].Clear();
                    _stale[tileRow + (x / TileSide)] = true;
                }
            }
        }
    }

    /// <summary>Stale tiles, those next to each other in one rectangle.</summary>
    private void FindChanges()
    {
        int across = TilesAcross;
        for (int y = 0; y < _seen.Height; y += TileSide)
        {
            int row = y / TileSide * across;
            for (int x = 0; x < across; x++)
            {
                int first = x;
                while (x < across && _stale[row + x] && (x - first) * TileSide < LongestRun)
                {
                    _stale[row + x++] = false;
                }

                if (x > first)
                {
                    int right = Math.Min(x * TileSide, _seen.Width);
                    _changed.Add(new Rectangle(first * TileSide, y, right - (first * TileSide), Math.Min(TileSide, _seen.Height - y)));
                    x--;
                }
            }
        }
    }

    private void WriteExtras()
    {
        if (_newSize is { } size)
        {
            WritePseudo(size.Width, size.Height, DesktopSize);
            _newSize = null;
        }

        if (OweExtendedKeys)
        {
            WritePseudo(0, 0, QemuExtendedKeys);
            OweExtendedKeys = false;
        }
    }

    private void WritePseudo(int width, int height, int encoding)
    {
        Span<byte> header = stackalloc byte[12];
        header.Clear();
        BinaryPrimitives.WriteUInt16BigEndian(header[4..], (ushort)width);
        BinaryPrimitives.WriteUInt16BigEndian(header[6..], (ushort)height);
        BinaryPrimitives.WriteInt32BigEndian(header[8..], encoding);
        _message.Write(header);
    }

    private void Resize(int width, int height)
    {
        _seen.Resize(width, height);
        _seen.Pixels.Clear();
        _stale = new bool[TilesAcross * ((height + TileSide - 1) / TileSide)];
        Array.Fill(_stale, true);
    }
}
