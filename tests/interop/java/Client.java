// One connection of Java's own client, java.net.http, told what to do. Usage: java Client URL CA SUBPROTOCOL...
// CA is a file with the authority to trust, or "-". Commands and events are those of remote.py's users. Ends with its
// standard input.

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import java.util.Base64;
import java.util.concurrent.CompletionStage;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public final class Client implements WebSocket.Listener {
    private final StringBuilder text = new StringBuilder();
    private final ByteArrayOutputStream binary = new ByteArrayOutputStream();

    public static void main(String[] arguments) throws Exception {
        HttpClient.Builder http = HttpClient.newBuilder();
        if (!arguments[1].equals("-")) {
            http.sslContext(trusting(arguments[1]));
        }
        WebSocket.Builder builder = http.build().newWebSocketBuilder();
        if (arguments.length > 2) {
            builder.subprotocols(arguments[2], Arrays.copyOfRange(arguments, 3, arguments.length));
        }
        WebSocket socket = builder.buildAsync(URI.create(arguments[0]), new Client()).join();
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            obey(socket, line.split(" ", -1));
        }
        System.exit(0);
    }

    private static void obey(WebSocket socket, String[] words) {
        switch (words[0]) {
            case "text" -> socket.sendText(string(words[1]), true).join();
            case "binary" -> socket.sendBinary(bytes(words[1]), true).join();
            case "part" -> {
                boolean last = words[3].equals("1");
                if (words[1].equals("text")) {
                    socket.sendText(string(words[2]), last).join();
                } else {
                    socket.sendBinary(bytes(words[2]), last).join();
                }
            }
            case "ping" -> socket.sendPing(bytes(words[1])).join();
            case "close" -> socket.sendClose(Integer.parseInt(words[1]), string(words[2])).join();
            default -> throw new IllegalArgumentException(words[0]);
        }
    }

    @Override
    public void onOpen(WebSocket socket) {
        say("open " + encode(socket.getSubprotocol().getBytes(StandardCharsets.UTF_8)) + " ");
        socket.request(1);
    }

    @Override
    public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
        text.append(data);
        if (last) {
            say("text " + encode(text.toString().getBytes(StandardCharsets.UTF_8)));
            text.setLength(0);
        }
        socket.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer data, boolean last) {
        binary.writeBytes(rest(data));
        if (last) {
            say("binary " + encode(binary.toByteArray()));
            binary.reset();
        }
        socket.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onPong(WebSocket socket, ByteBuffer data) {
        say("pong " + encode(rest(data)));
        socket.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
        say("closed " + code + " " + encode(reason.getBytes(StandardCharsets.UTF_8)));
        return null;
    }

    @Override
    public void onError(WebSocket socket, Throwable error) {
        say("failed " + encode(error.toString().getBytes(StandardCharsets.UTF_8)));
    }

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private static byte[] rest(ByteBuffer data) {
        byte[] bytes = new byte[data.remaining()];
        data.get(bytes);
        return bytes;
    }

    private static ByteBuffer bytes(String word) {
        return ByteBuffer.wrap(Base64.getDecoder().decode(word));
    }

    private static String string(String word) {
        return new String(Base64.getDecoder().decode(word), StandardCharsets.UTF_8);
    }

    private static String encode(byte[] data) {
        return Base64.getEncoder().encodeToString(data);
    }

    private static SSLContext trusting(String path) throws Exception {
        KeyStore authorities = KeyStore.getInstance(KeyStore.getDefaultType());
        authorities.load(null);
        try (FileInputStream file = new FileInputStream(path)) {
            authorities.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        managers.init(authorities);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, managers.getTrustManagers(), null);
        return context;
    }
}
