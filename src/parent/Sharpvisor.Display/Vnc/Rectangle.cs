namespace Sharpvisor.Display.Vnc;

/// <summary>Part of a screen, in pixels.</summary>
internal readonly record struct Rectangle(int X, int Y, int Width, int Height);
