// Where an open video channel's picture is: the guest names an address for video memory (MMIO, or RAM of its own) and a layout in it.
using Sharpvisor.Core;

namespace Sharpvisor.Vsp.Video;

/// <summary>Thread-safe. Every number in it came from the guest and was checked.</summary>
internal sealed class VideoSurface(GuestMemory memory, SharedMemory vram)
{
    private readonly Lock _lock = new();
    private ulong? _mappedAt;
    private ulong? _ramAt;
    private SituationUpdate _situation;
    private PointerPosition _pointer;
    private uint[] _pointerPixels = [];
    private int _pointerWidth;
    private long _version = 1;
    private bool _isReported;
    private bool _closed;

    public bool IsActive
    {
        get
        {
            lock (_lock)
            {
                return IsShown();
            }
        }
    }

    /// <summary>A guest that says what it changes is believed; otherwise anything may have changed at any time.</summary>
    public long Version
    {
        get
        {
            lock (_lock)
            {
                return _isReported ? _version : ++_version;
            }
        }
    }

    /// <returns>False when video memory cannot be there.</returns>
    public bool TryPlace(in VramLocation location)
    {
        lock (_lock)
        {
            Remove();
            if (location.IsGpaSpecified == 0 || _closed)
            {
                return location.IsGpaSpecified == 0;
            }

            if (memory.TryMapShared(location.Gpa, vram))
            {
                _mappedAt = location.Gpa;
            }
            else if (memory.TryGetMemory(location.Gpa, vram.Length, out _))
            {
                // hvfb_get_phymem: a Generation 1 guest may use its own memory. It is read where it is.
                _ramAt = location.Gpa;
            }

            _version++;
            return (_mappedAt ?? _ramAt) is not null;
        }
    }

    public void Update(in SituationUpdate situation)
    {
        lock (_lock)
        {
            _situation = situation;
            _version++;
        }
    }

    /// <summary>The guest reports a change, or (<paramref name="trusted"/> false) is not asked to any more.</summary>
    public void Changed(bool trusted)
    {
        lock (_lock)
        {
            _isReported = trusted;
            _version++;
        }
    }

    public void MovePointer(in PointerPosition position)
    {
        lock (_lock)
        {
            _pointer = position;
            _version++;
        }
    }

    public void ShapePointer(in PointerShape shape, ReadOnlySpan<byte> pixels)
    {
        int count = (int)(shape.Width * shape.Height);
        lock (_lock)
        {
            _pointerPixels = new uint[count];
            _pointerWidth = (int)shape.Width;
            pixels[..(count * 4)].CopyTo(System.Runtime.InteropServices.MemoryMarshal.AsBytes(_pointerPixels.AsSpan()));
            _version++;
        }
    }

    public bool TryCapture(ScreenImage image)
    {
        lock (_lock)
        {
            if (!IsShown())
            {
                return false;
            }

            image.Resize((int)_situation.Width, (int)_situation.Height);
            int rowBytes = image.Width * _situation.DepthBits / 8;
            byte[] row = new byte[_ramAt is null ? 0 : rowBytes];
            for (int y = 0; y < image.Height; y++)
            {
                ulong offset = _situation.VramOffset + ((ulong)y * _situation.PitchBytes);
                if (_ramAt is { } gpa)
                {
                    _ = memory.TryRead(gpa + offset, row);
                    PixelRows.Convert(row, _situation.DepthBits, image.Row(y));
                }
                else
                {
                    PixelRows.Convert(vram.Bytes.Slice((int)offset, rowBytes), _situation.DepthBits, image.Row(y));
                }
            }

            DrawPointer(image);
            return true;
        }
    }

    /// <summary>Takes video memory out of the guest's address space for good.</summary>
    public void Close()
    {
        lock (_lock)
        {
            _closed = true;
            Remove();
        }
    }

    // Under the lock, as all that follows.
    private void Remove()
    {
        if (_mappedAt is { } gpa)
        {
            memory.UnmapShared(gpa, vram);
        }

        _mappedAt = null;
        _ramAt = null;
    }

    private bool IsShown()
    {
        if (_closed || _situation.Active == 0 || (_mappedAt ?? _ramAt) is null
            || !PixelRows.IsSupported(_situation.DepthBits)
            || _situation.Width - 1 >= ScreenImage.LargestSide || _situation.Height - 1 >= ScreenImage.LargestSide)
        {
            return false;
        }

        ulong rowBytes = _situation.Width * (ulong)_situation.DepthBits / 8;
        return rowBytes <= _situation.PitchBytes
            && _situation.VramOffset + ((ulong)(_situation.Height - 1) * _situation.PitchBytes) + rowBytes <= (ulong)vram.Length;
    }

    /// <summary>Linux sends a transparent pointer of one pixel, to hide it (hyperv_hide_hw_ptr); it draws its own.</summary>
    private void DrawPointer(ScreenImage image)
    {
        if (_pointer.IsVisible == 0 || _pointerWidth == 0)
        {
            return;
        }

        for (int i = 0; i < _pointerPixels.Length; i++)
        {
            long x = (long)_pointer.X + (i % _pointerWidth);
            long y = (long)_pointer.Y + (i / _pointerWidth);
            uint pixel = _pointerPixels[i];
            uint alpha = pixel >> 24;
            if (alpha == 0 || x < 0 || y < 0 || x >= image.Width || y >= image.Height)
            {
                continue;
            }

            ref uint target = ref image.Row((int)y)[(int)x];
            uint mixed = 0;
            for (int shift = 0; shift < 24; shift += 8)
            {
                uint channel = ((((pixel >> shift) & 0xFF) * alpha) + (((target >> shift) & 0xFF) * (255 - alpha))) / 255;
                mixed |= channel << shift;
            }

            target = mixed;
        }
    }
}
