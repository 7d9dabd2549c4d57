// pgjdbc as applications use it: many connections at once, statements that it prepares on the server from the fifth
// execution on, autocommit on and off, what pools do on release, metadata. Prints "ok"; throws if anything is wrong.

import java.sql.Array;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public class EverydayClient {
  static final int CLIENTS = Integer.parseInt(System.getenv("CLIENTS"));
  static final int TENANTS = Integer.parseInt(System.getenv("TENANTS"));
  static final String PREFIX = System.getenv("TAG_PREFIX");

  static Connection connect() throws SQLException {
    Properties properties = new Properties();
    properties.setProperty("user", System.getenv("PGUSER"));
    properties.setProperty("password", System.getenv("PGPASSWORD"));
    properties.setProperty("sslmode", System.getenv().getOrDefault("PGSSLMODE", "disable"));
    if (System.getenv("PGSSLROOTCERT") != null) properties.setProperty("sslrootcert", System.getenv("PGSSLROOTCERT"));
    properties.setProperty("ApplicationName", "shop");
    String place = System.getenv("PGHOST") + ":" + System.getenv("PGPORT");
    return DriverManager.getConnection("jdbc:postgresql://" + place + "/" + System.getenv("PGDATABASE"), properties);
  }

  static void check(Object wanted, Object found) {
    if (!wanted.equals(found)) throw new IllegalStateException("wanted " + wanted + ", found " + found);
  }

  static void checkFails(String state, Statement statement, String sql) throws SQLException {
    try {
      statement.execute(sql);
    } catch (SQLException error) {
      check(state, error.getSQLState());
      return;
    }
    throw new IllegalStateException("no error " + state + ": " + sql);
  }

  static String one(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
      rows.next();
      return rows.getString(1);
    }
  }

  static void inAutocommit(Connection connection, String tenant, String tag) throws SQLException {
    try (PreparedStatement add = connection.prepareStatement(
        "insert into orders (tag, amount, numbers, extra) values (?, ?, ?, ?::jsonb)", Statement.RETURN_GENERATED_KEYS)) {
      for (int turn = 0; turn < 8; ++turn) {
        Array numbers = connection.createArrayOf("int4", new Object[] {turn, 2});
        add.setString(1, tag + " " + turn);
        add.setBigDecimal(2, new java.math.BigDecimal("12.50"));
        add.setArray(3, numbers);
        add.setString(4, "{\"turn\": " + turn + "}");
        check(1, add.executeUpdate());
        try (ResultSet keys = add.getGeneratedKeys()) {
          check(true, keys.next());
        }
      }
    }
    try (PreparedStatement find = connection.prepareStatement(
        "select (select name from tenant), amount, numbers, extra, at from orders where tag = ?")) {
      for (int turn = 0; turn < 8; ++turn) {
        find.setString(1, tag + " " + turn);
        try (ResultSet rows = find.executeQuery()) {
          check(true, rows.next());
          check(tenant, rows.getString(1));
          check("12.50", rows.getBigDecimal(2).toString());
          check(turn, ((Integer[]) rows.getArray(3).getArray())[0]);
          check("{\"turn\": " + turn + "}", rows.getString(4));
          check(false, rows.next());
        }
      }
    }
    try (Statement statement = connection.createStatement()) {
      checkFails("23505", statement, "insert into orders (tag) values ('" + tag + " 0')");
      checkFails("42601", statement, "select from from");
    }
  }

  static void queryTimeout(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.setQueryTimeout(1);
      checkFails("57014", statement, "select pg_sleep(20)");
    }
  }

  static void inTransactions(Connection connection, String tag) throws SQLException {
    connection.setAutoCommit(false);
    connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
    try (PreparedStatement add = connection.prepareStatement("insert into orders (tag) values (?)");
         Statement statement = connection.createStatement()) {
      for (int turn = 0; turn < 12; ++turn) {
        add.setString(1, tag + " batch " + turn);
        add.addBatch();
      }
      check(12, add.executeBatch().length);
      Savepoint savepoint = connection.setSavepoint();
      checkFails("22012", statement, "select 1 / 0");
      connection.rollback(savepoint);
      connection.commit();
      statement.setFetchSize(50);
      try (ResultSet rows = statement.executeQuery("select * from generate_series(1, 220)")) {
        int count = 0;
        while (rows.next()) check(++count, rows.getInt(1));
        check(220, count);
      }
      add.setString(1, tag + " lost");
      check(1, add.executeUpdate());
      checkFails("22012", statement, "select 1 / 0");
      checkFails("25P02", statement, "select 1");
      connection.rollback();
    }
    connection.setReadOnly(true);
    try (Statement statement = connection.createStatement()) {
      checkFails("25006", statement, "delete from orders");
    }
    connection.rollback();
    connection.setReadOnly(false);
    connection.setAutoCommit(true);
    connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
  }

  static void metadata(Connection connection, String tenant) throws SQLException {
    DatabaseMetaData data = connection.getMetaData();
    List<ResultSet> answers = new ArrayList<>();
    answers.add(data.getTables(null, tenant, "%", new String[] {"TABLE", "VIEW"}));
    answers.add(data.getColumns(null, tenant, "orders", "%"));
    answers.add(data.getPrimaryKeys(null, tenant, "orders"));
    answers.add(data.getIndexInfo(null, tenant, "orders", false, false));
    answers.add(data.getSchemas());
    answers.add(data.getTypeInfo());
    for (ResultSet rows : answers) {
      check(true, rows.next());
      rows.close();
    }
    data.getImportedKeys(null, tenant, "orders").close();
    data.getFunctions(null, tenant, "%").close();
  }

  static void work(Connection connection, int number) throws SQLException {
    String tenant = "tenant_" + number % TENANTS;
    String tag = PREFIX + number;
    connection.setSchema(tenant);
    connection.setClientInfo("ApplicationName", "worker " + number);
    try (Statement statement = connection.createStatement()) {
      statement.execute("set statement_timeout = '25s'");
    }
    inAutocommit(connection, tenant, tag);
    inTransactions(connection, tag);
    if (number < TENANTS) {   // fewer than backends: the second is the query's own, not one of waiting
      metadata(connection, tenant);
      queryTimeout(connection);
    }
    check(true, connection.isValid(5));
    check(tenant, connection.getSchema());
    check("worker " + number, one(connection, "show application_name"));
    check("25s", one(connection, "show statement_timeout"));
    check("read committed", one(connection, "show transaction_isolation"));
  }

  public static void main(String[] arguments) throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(CLIENTS);
    List<Connection> connections = new ArrayList<>();
    List<Future<?>> results = new ArrayList<>();
    for (int i = 0; i < CLIENTS; ++i) connections.add(connect());
    for (int i = 0; i < CLIENTS; ++i) {
      int number = i;
      results.add(threads.submit(() -> {
        work(connections.get(number), number);
        return null;
      }));
    }
    threads.shutdown();
    try {
      for (Future<?> each : results) each.get();
    } catch (Exception error) {
      error.printStackTrace();
      System.exit(1);   // the other threads may be at work for long
    }
    for (Connection each : connections) each.close();
    System.out.println("ok");
  }
}
