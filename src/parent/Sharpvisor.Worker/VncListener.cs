// --vnc unix:PATH[,password-file=FILE] | 127.0.0.1:PORT,password-file=FILE
using System.Net;
using System.Net.Sockets;
using Sharpvisor.Display.Vnc;

namespace Sharpvisor.Worker;

/// <summary>Where viewers may connect: a unix socket of the user's own, or loopback with a password.</summary>
public sealed class VncListener : IDisposable
{
    private const string PasswordFile = "password-file=";
    private const string Unix = "unix:";

    private readonly string? _path;
    private readonly Socket _listener;
    private readonly VncAuthentication? _authentication;

    private VncListener(Socket listener, string? path, VncAuthentication? authentication)
    {
        _listener = listener;
        _path = path;
        _authentication = authentication;
    }

    /// <param name="text">The option's value.</param>
    /// <exception cref="VmConfigurationException">It cannot be had; the message names it.</exception>
    public static VncListener Bind(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string[] parts = text.Split(',');
        VncAuthentication? authentication = null;
        foreach (string part in parts.Skip(1))
        {
            authentication = part.StartsWith(PasswordFile, StringComparison.Ordinal)
                ? ReadPassword(text, part[PasswordFile.Length..])
                : throw new VmConfigurationException($"--vnc {text}: '{part}' is not {PasswordFile}FILE");
        }

        if (parts[0].StartsWith(Unix, StringComparison.Ordinal))
        {
            string path = parts[0][Unix.Length..];
            return new VncListener(HostSocket.Listen("--vnc", path), path, authentication);
        }

        if (!IPEndPoint.TryParse(parts[0], out IPEndPoint? address) || !IPAddress.IsLoopback(address.Address) || address.Port == 0)
        {
            throw new VmConfigurationException($"--vnc {text}: must be unix:PATH, or 127.0.0.1:PORT with ,{PasswordFile}FILE");
        }

        if (authentication is null)
        {
            throw new VmConfigurationException($"--vnc {text}: every user of this machine could connect; add ,{PasswordFile}FILE");
        }

        return new VncListener(BindTcp(text, address), null, authentication);
    }

    /// <summary>Lets them in.</summary>
    public void Start(VirtualMachine vm)
    {
        ArgumentNullException.ThrowIfNull(vm);
        vm.Console.ServeVnc(_listener, _authentication);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _listener.Dispose();
        if (_path is not null)
        {
            File.Delete(_path);
        }
    }

    private static Socket BindTcp(string text, IPEndPoint address)
    {
        var listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            listener.Bind(address);
            listener.Listen();
            return listener;
        }
        catch (SocketException e)
        {
            listener.Dispose();
            throw new VmConfigurationException($"--vnc {text}: cannot be used ({e.Message})");
        }
    }

    private static VncAuthentication ReadPassword(string text, string file)
    {
        try
        {
            return new VncAuthentication(File.ReadLines(file).FirstOrDefault() ?? "");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new VmConfigurationException($"--vnc {text}: {e.Message.ReplaceLineEndings(" ")}");
        }
    }
}
