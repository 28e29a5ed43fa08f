//! A table that there was gets a field more, and an index that leaves records out.

use super::*;
use crate::driver::Find;
use crate::schema::Index;

static FEW: Table = Table {
    name: "grows",
    since: 1,
    key: &["id"],
    fields: &[Field::one("kind", &["kind"])],
    indexes: &[Index::over("by_kind", &[("kind", Ascending)])],
};
static MORE: Table = Table {
    name: "grows",
    since: 1,
    key: &["id"],
    fields: &[Field::one("kind", &["kind"]), Field::one("hidden", &["hidden"]).since(2)],
    indexes: &[Index::over("by_kind", &[("kind", Ascending)]).unless("hidden").since(2)],
};
static SMALL: Schema = Schema { name: "test", version: 1, tables: &[&FEW], logs: &[], views: &[] };
static LARGE: Schema = Schema { name: "test", version: 2, tables: &[&MORE], logs: &[], views: &[] };

fn put(table: &'static Table, id: &str, body: &str) -> Batch {
    let mut batch = Batch::new(Namespace::default());
    let body = Json::parse(body).unwrap();
    let put = Put::new(Key::new(table, [id]).unwrap(), body, Save::Any).unwrap();
    batch.push(Operation::Put(put));
    batch
}

async fn found(store: &Sqlite, table: &'static Table) -> Vec<String> {
    let find = Find::by(table, "by_kind").unwrap().equal(Value::text("k"));
    let found = store.find(&Namespace::default(), &find).await.unwrap().records;
    found.iter().map(|record| record.key.first().to_owned()).collect()
}

/// Beside a process that has the store open as it was.
#[tokio::test]
async fn a_table_that_there_was_grows() {
    let home = Home::new();
    let open = async |schema| Sqlite::open(schema, &home.path(), Options::default()).await.unwrap();
    let older = open(&SMALL).await;
    older.commit(put(&FEW, "a", r#"{"kind":"k"}"#)).await.unwrap();
    let newer = open(&LARGE).await;
    newer.commit(put(&MORE, "b", r#"{"kind":"k","hidden":true}"#)).await.unwrap();
    newer.commit(put(&MORE, "c", r#"{"kind":"k"}"#)).await.unwrap();
    older.commit(put(&FEW, "d", r#"{"kind":"k"}"#)).await.unwrap();
    assert_eq!(found(&newer, &MORE).await, ["a", "c", "d"]);
    assert_eq!(found(&older, &FEW).await, ["a", "b", "c", "d"], "no index leaves out any for it");
    // It came about as a new one would.
    assert_eq!(newer.check().await.unwrap().damage, []);
    older.close().await.unwrap();
    newer.close().await.unwrap();

    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'grows_by_kind' AND sql LIKE \
               '%WHERE \"hidden\" IS NULL'";
    let there: i64 = home.plain().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(there, 1);
    let store = open(&LARGE).await;
    assert_eq!(found(&store, &MORE).await, ["a", "c", "d"]);
}
