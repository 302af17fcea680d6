// The display adapter of a Generation 1 machine: "Hyper-V virtual VGA", 1414:5353, a VGA with its video memory behind BAR 0 (drivers/video/fbdev/hyperv_fb.c finds
// the machine's generation by it). Firmware can make the memory a linear frame buffer, which guests find in their boot parameters.
using Sharpvisor.Core;
using Sharpvisor.Devices.Pci;

namespace Sharpvisor.Devices.Vga;

/// <summary>00:08.0, with the ports 0x3B0 to 0x3DF and the window at 0xA0000. Thread-safe.</summary>
public sealed class VgaAdapter : PciFunction, IPortDevice, IMmioDevice, IScreen
{
    /// <summary>Where Hyper-V has it.</summary>
    public const int Slot = 8;

    private const int BytesPerPixel = 4;

    private readonly Lock _lock = new();
    private readonly SharedMemory _vram;
    private readonly VgaRegisters _registers = new();
    private readonly VgaMemory _memory;
    private (int Width, int Height)? _linear;
    private long _version;

    /// <param name="bus">For the legacy ports and memory.</param>
    /// <param name="guest">For video memory at BAR 0.</param>
    /// <param name="vramBytes">A power of two.</param>
    public VgaAdapter(IDeviceBus bus, GuestMemory guest, int vramBytes)
        : base(Slot, 0, new PciIdentity(0x1414, 0x5353, 0x030000))
    {
        ArgumentNullException.ThrowIfNull(bus);
        ArgumentNullException.ThrowIfNull(guest);
        _vram = guest.CreateSharedMemory(vramBytes);
        _memory = new VgaMemory(_registers);
        Set16(PciConfig.Command, PciConfig.CommandIo);
        DefineSharedMemoryBar(0, guest, _vram);
        bus.MapPorts(VgaRegisters.FirstPort, VgaRegisters.PortCount, this);
        bus.MapMmio(PlatformLayout.VgaGpa, PlatformLayout.VgaBytes, this);
        SetTextMode();
    }

    /// <summary>The linear frame buffer, for boot parameters; null in text mode.</summary>
    public LinearFrameBuffer? FrameBuffer
    {
        get
        {
            lock (_lock)
            {
                return _linear is { } size
                    ? new LinearFrameBuffer(BarAddress(0), size.Width, size.Height, size.Width * BytesPerPixel, _vram.Length)
                    : null;
            }
        }
    }

    /// <inheritdoc/>
    public long Version
    {
        get
        {
            lock (_lock)
            {
                // Nobody sees writes to a linear frame buffer.
                return _linear is null ? _version : ++_version;
            }
        }
    }

    /// <summary>What a BIOS does: 80 by 25 characters, a font, an empty screen.</summary>
    public void SetTextMode()
    {
        lock (_lock)
        {
            _linear = null;
            _registers.SetTextMode();
            _memory.Clear();
            for (int i = 0; i < 256; i++)
            {
                VgaFont.Glyphs.Slice(i * VgaFont.GlyphBytes, VgaFont.GlyphBytes).CopyTo(_memory.Fonts.AsSpan(i * 32));
            }

            _memory.Characters.AsSpan().Fill((byte)' ');
            _memory.Attributes.AsSpan().Fill(7);
            _version++;
        }
    }

    /// <summary>Makes video memory a linear frame buffer of 32 bits a pixel, as a VESA BIOS would.</summary>
    /// <returns>False, with nothing done, when it does not fit.</returns>
    public bool TrySetLinearMode(int width, int height)
    {
        if (width is < 1 or > ScreenImage.LargestSide || height is < 1 or > ScreenImage.LargestSide
            || width * height * BytesPerPixel > _vram.Length)
        {
            return false;
        }

        lock (_lock)
        {
            _linear = (width, height);
            _vram.Bytes.Clear();
            _version++;
            return true;
        }
    }

    /// <inheritdoc/>
    public bool TryCapture(ScreenImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        lock (_lock)
        {
            if (_linear is not { } size)
            {
                return IsText() ? VgaText.TryDraw(_registers, _memory, image) : VgaGraphics.TryDraw(_registers, _memory, image);
            }

            image.Resize(size.Width, size.Height);
            for (int y = 0; y < size.Height; y++)
            {
                PixelRows.Convert(_vram.Bytes.Slice(y * size.Width * BytesPerPixel, size.Width * BytesPerPixel), 32, image.Row(y));
            }

            return true;
        }
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes)
    {
        lock (_lock)
        {
            uint value = 0;
            for (int i = 0; i < bytes; i++)
            {
                value |= (uint)_registers.Read((ushort)(port + i)) << (8 * i);
            }

            return value;
        }
    }

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value)
    {
        lock (_lock)
        {
            // A word to an index register is an index and its data.
            for (int i = 0; i < bytes; i++)
            {
                _registers.Write((ushort)(port + i), (byte)(value >> (8 * i)));
            }

            _version++;
        }
    }

    /// <inheritdoc/>
    public ulong ReadMmio(ulong offset, int bytes)
    {
        lock (_lock)
        {
            ulong value = 0;
            for (int i = 0; i < bytes; i++)
            {
                value |= (ulong)_memory.Read((int)offset + i) << (8 * i);
            }

            return value;
        }
    }

    /// <inheritdoc/>
    public void WriteMmio(ulong offset, int bytes, ulong value)
    {
        lock (_lock)
        {
            for (int i = 0; i < bytes; i++)
            {
                _memory.Write((int)offset + i, (byte)(value >> (8 * i)));
            }

            _version++;
        }
    }

    /// <inheritdoc/>
    protected override void OnReset() => SetTextMode();

    // Graphics controller, miscellaneous, bit 0.
    private bool IsText() => (_registers.Graphics[6] & 1) == 0;
}
