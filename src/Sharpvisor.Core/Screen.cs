// What a display adapter (synthetic or emulated) and those who look at it (a VNC server, a screenshot) know of each other.
namespace Sharpvisor.Core;

/// <summary>A picture: rows of pixels 0x00RRGGBB from the top left. Reused from capture to capture.</summary>
public sealed class ScreenImage
{
    /// <summary>No screen is wider or higher, whatever a guest says.</summary>
    public const int LargestSide = 4096;

    private uint[] _pixels = [];

    public int Width { get; private set; }

    public int Height { get; private set; }

    public Span<uint> Pixels => _pixels.AsSpan(0, Width * Height);

    public Span<uint> Row(int y) => _pixels.AsSpan(y * Width, Width);

    /// <summary>Sets the size; pixels are then undefined.</summary>
    public void Resize(int width, int height)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)width, (uint)LargestSide, nameof(width));
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)height, (uint)LargestSide, nameof(height));
        if (_pixels.Length < width * height)
        {
            _pixels = new uint[width * height];
        }

        (Width, Height) = (width, height);
    }
}

/// <summary>A display adapter's output. Thread-safe.</summary>
public interface IScreen
{
    /// <summary>A number that is another one whenever the picture may be another one.</summary>
    long Version { get; }

    /// <summary>Copies what is shown. False, with the image left alone: nothing is.</summary>
    bool TryCapture(ScreenImage image);

    /// <summary>Somebody began or ceased to look: the guest is asked to say what it changes, or spared it.</summary>
    void SetWatched(bool watched)
    {
    }
}
