// VNC authentication (RFB 3.8, 7.2.2): the client encrypts the server's challenge by DES with the password as key, each of whose bytes has its bits
// in reverse order. Weak as it is, it is what every viewer has; the server listens on loopback only.
using System.Security.Cryptography;
using System.Text;

#pragma warning disable CA5351 // DES is the protocol's cipher, not ours to choose.

namespace Sharpvisor.Display.Vnc;

/// <summary>A password as VNC knows it: its first eight characters.</summary>
public sealed class VncAuthentication
{
    internal const int ChallengeBytes = 16;

    private readonly byte[] _key = new byte[8];

    /// <exception cref="ArgumentException">The password cannot be used.</exception>
    public VncAuthentication(string password)
    {
        ArgumentNullException.ThrowIfNull(password);
        byte[] bytes = Encoding.Latin1.GetBytes(password);
        if (bytes.Length == 0)
        {
            throw new ArgumentException("the password is empty");
        }

        for (int i = 0; i < Math.Min(bytes.Length, _key.Length); i++)
        {
            for (int bit = 0; bit < 8; bit++)
            {
                _key[i] |= (byte)(((bytes[i] >> bit) & 1) << (7 - bit));
            }
        }

        if (DES.IsWeakKey(_key) || DES.IsSemiWeakKey(_key))
        {
            throw new ArgumentException("DES cannot use this password; choose another");
        }
    }

    internal static byte[] CreateChallenge() => RandomNumberGenerator.GetBytes(ChallengeBytes);

    internal bool Accepts(byte[] challenge, ReadOnlySpan<byte> response) =>
        CryptographicOperations.FixedTimeEquals(Encrypt(challenge), response);

    /// <summary>What a client that knows the password answers.</summary>
    internal byte[] Encrypt(byte[] challenge)
    {
        using var des = DES.Create();
        des.Key = _key;
        return des.EncryptEcb(challenge, PaddingMode.None);
    }
}
