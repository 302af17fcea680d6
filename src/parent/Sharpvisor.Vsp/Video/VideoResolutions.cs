namespace Sharpvisor.Vsp.Video;

/// <summary>The sizes of screen that a guest is offered.</summary>
internal static class VideoResolutions
{
    private static readonly (int Width, int Height)[] s_usual =
    [
        (640, 480), (800, 600), (1024, 768), (1152, 864), (1280, 720), (1280, 1024), (1366, 768), (1440, 900), (1600, 900), (1600, 1200),
        (1680, 1050), (1920, 1080), (1920, 1200), (2560, 1440),
    ];

    /// <summary>Those that fit into video memory at 32 bits a pixel, the preferred one first.</summary>
    public static IReadOnlyList<(int Width, int Height)> Build(int vramBytes, (int Width, int Height) preferred) =>
        [preferred, .. s_usual.Where(r => r != preferred && r.Width * r.Height * 4 <= vramBytes)];
}
